# SPDX-License-Identifier: Apache-2.0
"""What must hold of a whole history once all is quiet. Each check reads rows and gives the
violations in words, with ids; test_checks.py plants each of them."""
import collections

from books import Books, PARTIES, ROLES, assert_at_rest, derived
from clients import KINDS, NEVER_CONFIRMED

ENDS = {"OrderConfirmed": "confirmed", "OrderRejected": "rejected", "OrderCancelled": "cancelled"}
MOMENTS = {"OrderPlaced": "placed_at", "OrderCancelRequested": "requested_at",
           "OrderCancelled": "cancelled_at", "OrderConfirmed": "confirmed_at",
           "OrderRejected": "rejected_at"}
STATUSES = {"OrderPlaced": "placed", "OrderCancelRequested": "cancelling", **ENDS}
SAGA = "saga:order_fulfilment"
# A timer is set a little before the command's row has its time.
EARLY_PART = 0.9
# From the pivot on a step is asked without limit, and so is the last word.
WITHOUT_LIMIT = (("confirm", "forward"), ("commit", "forward"), ("reject", "compensate"))


def orders_of(history):
    """The events of each order, in order."""
    found = collections.defaultdict(list)
    for event in history.of("order"):
        found[event.stream].append(event)
    return found


def document_of(order, events):
    """The order document of docs/http.md, by folding the log."""
    placed = events[0].data
    unit = placed["currency"]

    def money(amount):
        return {"amount": amount, "currency": unit}
    last = events[-1]
    document = {
        "id": order, "status": STATUSES[last.type], "version": last.version,
        "customer": placed["customer"], "currency": unit,
        "lines": [{"sku": line["sku"], "quantity": line["quantity"],
                   "unit_price": money(line["unit_price"]), "total": money(line["total"])}
                  for line in placed["lines"]],
        "total": money(placed["total"]), "ship_to": placed["ship_to"],
        "created_at": placed["placed_at"], "updated_at": last.data[MOMENTS[last.type]],
    }
    if last.type == "OrderRejected":
        document["rejection"] = {"code": last.data["code"], "detail": last.data["detail"]}
    return document


# What the customers were told.

def acknowledged(history, told, _facts):
    """every acknowledged order is there once and has ended"""
    orders = orders_of(history)
    placed = collections.defaultdict(list)
    for event in history.of("order"):
        if event.type == "OrderPlaced":
            placed[event.meta.get("correlation_id")].append(event.stream)
    known = set()
    for command in told.placed:
        found = placed.get(command.correlation, [])
        known.add(command.correlation)
        if len(found) > 1:
            yield f"{command.correlation} was placed {len(found)} times: {' '.join(found)}"
        if command.status == 201 and command.order not in found:
            yield f"order {command.order} was acknowledged and is not in the log"
    for correlation in set(placed) - known:
        yield f"order {placed[correlation][0]} was asked for by nobody ({correlation})"
    for order, events in orders.items():
        if events[-1].type not in ENDS:
            yield f"order {order} has not ended: {events[-1].type}"


def accepted(history, told, _facts):
    """an accepted cancellation ends cancelled, a refused one otherwise"""
    orders = orders_of(history)
    for command in told.cancelled:
        end = ENDS.get(orders[command.order][-1].type) if command.order in orders else None
        if command.status == 202 and end != "cancelled":
            yield f"order {command.order} is {end}, its cancellation was accepted"
        if command.status == 409 and end not in ("confirmed", "rejected"):
            yield f"order {command.order} is {end}, its cancellation was refused"
    asked = {command.order for command in told.cancelled}
    for order, events in orders.items():
        if events[-1].type == "OrderCancelled" and order not in asked:
            yield f"order {order} is cancelled and nobody asked for it"


def outcomes(history, told, _facts):
    """orders end as their kind may"""
    orders = orders_of(history)
    for command in told.placed:
        if command.order not in orders:
            continue
        last = orders[command.order][-1]
        if last.type == "OrderConfirmed" and command.kind in NEVER_CONFIRMED:
            yield f"order {command.order} is confirmed, of kind {command.kind}"
        if last.type == "OrderRejected" and last.data["code"] not in KINDS[command.kind][2]:
            yield f"order {command.order} of kind {command.kind} is rejected: {last.data['code']}"


def answers(_history, told, _facts):
    """no answer that the contract does not have"""
    yield from told.faults


# The log.

def streams(history, _told, _facts):
    """streams have the versions 1 to n, and no id twice"""
    versions = collections.defaultdict(list)
    for event in history.events:
        versions[event.stream].append(event.version)
    for stream, found in versions.items():
        if sorted(found) != list(range(1, len(found) + 1)):
            yield f"stream {stream} has versions {sorted(found)[:20]}"
    for event_id, count in collections.Counter(event.id for event in history.events).items():
        if count > 1:
            yield f"event {event_id} is there {count} times"


def sagas(history, _told, _facts):
    """one saga an order, and it has ended"""
    found = collections.defaultdict(list)
    for event in history.of("saga"):
        found[event.stream].append(event)
    for order in orders_of(history):
        events = found.pop(derived(order, SAGA), [])
        if [event.type for event in events].count("SagaStarted") != 1:
            yield f"order {order} has no saga" if not events else f"order {order}: started twice"
        elif events[-1].type not in ("SagaCompleted", "SagaCompensated"):
            yield f"the saga of order {order} has not ended: {events[-1].type}"
    for stream in found:
        yield f"saga {stream} belongs to no order"


def replies(history, _told, _facts):
    """each command has exactly one reply"""
    commands = {event.id: event for event in history.events if event.kind == "command"}
    answered = collections.Counter(event.data["command_id"] for event in history.events
                                   if event.kind == "reply")
    for command, event in commands.items():
        if answered[command] != 1:
            yield (f"command {command} ({event.type} of saga {event.stream}, attempt "
                   f"{event.data['attempt']}) has {answered[command]} replies")
    for command in set(answered) - set(commands):
        yield f"a reply to {command}, which is no command"


def step_of(data):
    return data["step"], data["direction"]


def repeats(history, _told, facts):
    """a command is repeated only by its timer or a refusal, and a step at most three times"""
    before, asked = {}, {}
    for event in history.events:
        if event.category != "saga":
            continue
        if event.kind == "event":
            asked[event.stream] = event
            continue
        key = (event.stream, *step_of(event.data))
        why = asked.get(event.stream)
        if why is None or why.data.get("next") is None or \
                step_of(why.data["next"]) != step_of(event.data):
            yield f"command {event.id} of saga {event.stream}: no event asked for it"
        elif key in before and why.data["by"] not in ("timer", "refused", "retry"):
            yield (f"command {event.id} repeats {before[key].id} of saga {event.stream} by "
                   f"{why.data['by']}")
        elif event.data["attempt"] > facts["attempts"] and key[1:] not in WITHOUT_LIMIT:
            yield (f"command {event.id} of saga {event.stream} is attempt {event.data['attempt']} "
                   f"of {event.data['step']}")
        before[key] = event


def early_repeats(history, step_seconds):
    """Repeats by a timer that was due before its command had been in the log for that long: it was
    decided before and could be written only later. For the table."""
    before, asked, count = {}, {}, 0
    for event in history.events:
        if event.category == "saga" and event.kind == "event":
            asked[event.stream] = event
        elif event.category == "saga":
            key = (event.stream, *step_of(event.data))
            count += key in before and asked[event.stream].data["by"] == "timer" and \
                event.at - before[key].at < step_seconds * EARLY_PART
            before[key] = event
    return count


# The parties' own books.

def books(history, _told, _facts):
    """captured once, refunded as captured, as the provider's and carrier's journals say"""
    orders = orders_of(history)
    found = {order: Books() for order in orders}
    owners = {derived(order, role): (found[order], role) for order in orders for role in ROLES}
    for event in history.events:
        if event.kind == "event" and event.stream in owners:
            book, role = owners[event.stream]
            getattr(book, role).append(event.type)
    for party, key, operation, outcome in history.journal:
        stream = key.partition(":")[0]
        role, name = PARTIES[party]
        if stream not in owners or owners[stream][1] != role:
            yield f"the {party} did {operation} ({outcome}) for {key}, which belongs to no order"
        else:
            getattr(owners[stream][0], name).append(f"{operation} {outcome}")
    for order, events in orders.items():
        try:
            assert_at_rest(ENDS.get(events[-1].type, "not ended"), found[order])
        except AssertionError:
            yield f"order {order}, {STATUSES[events[-1].type]}: {found[order]}"


def stock(history, _told, _facts):
    """stock adds up by SKU: received = on hand + reserved + committed, never below zero"""
    found = collections.defaultdict(collections.Counter)
    skus = {event.stream: event.data["sku"] for event in history.events
            if event.type == "StockReceived"}
    for event in sorted(history.of("stock_item"), key=lambda event: (event.stream, event.version)):
        sku = skus.get(event.stream, event.stream)
        item, quantity = found[sku], int(event.data["quantity"])
        moves = {"StockReceived": (1, 0, 0), "StockReserved": (-1, 1, 0),
                 "StockReleased": (1, -1, 0), "StockCommitted": (0, -1, 1)}[event.type]
        for name, move in zip(("on hand", "reserved", "committed"), moves):
            item[name] += move * quantity
            if item[name] < 0:
                yield f"{sku}: {item[name]} {name} at version {event.version}"
    sold = collections.Counter()
    for events in orders_of(history).values():
        if events[-1].type == "OrderConfirmed":
            for line in events[0].data["lines"]:
                sold[line["sku"]] += int(line["quantity"])
    for sku, item in found.items():
        if item["reserved"]:
            yield f"{sku}: {item['reserved']} are still reserved"
        if item["committed"] != sold[sku]:
            yield f"{sku}: {item['committed']} committed, {sold[sku]} in confirmed orders"
        if sum(item.values()) != history.stock.get(sku, 0):
            yield f"{sku}: {dict(item)} is not the {history.stock.get(sku, 0)} received"


# The documents.

def documents(history, _told, _facts):
    """documents equal the log: the read schema's, Redis', what GET shows, and the lists"""
    owners = collections.defaultdict(set)
    for order, events in orders_of(history).items():
        wanted = document_of(order, events)
        owners[wanted["customer"]].add(order)
        stored = history.documents.get(order)
        if stored is None:
            yield f"order {order} has no document"
        elif stored != (wanted["version"], wanted["customer"], wanted["status"], True, wanted):
            yield f"order {order}: its document is {stored}, the log says {wanted}"
        cached = history.cached.get(order)
        if cached is not None and cached != (wanted["version"], wanted):
            yield f"order {order}: Redis has {cached}, the log says {wanted}"
        if history.shown.get(order) != (200, wanted):
            yield f"order {order}: GET gives {history.shown.get(order)}, the log says {wanted}"
    for customer, orders in owners.items():
        listed = collections.Counter(history.listed.get(customer, []))
        for order in set(listed) ^ orders:
            yield f"order {order} of {customer} " + \
                ("is listed and not in the log" if order in listed else "is in no list")
        for order, count in listed.items():
            if count > 1:
                yield f"order {order} is listed {count} times"


def left_over(_history, _told, facts):
    """all is quiet, and nothing lies in the dead letters"""
    yield from facts["not_quiet"]
    for queue, letters in facts["dead_letters"].items():
        for letter in letters:
            yield f"{queue}: {letter}"


CHECKS = (acknowledged, accepted, outcomes, answers, streams, sagas, replies, repeats, books, stock,
          documents, left_over)


def run_checks(history, told, facts):
    """By check, its violations. Facts: attempts, not_quiet, dead_letters."""
    return {check: list(check(history, told, facts)) for check in CHECKS}
