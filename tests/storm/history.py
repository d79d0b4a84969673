# SPDX-License-Identifier: Apache-2.0
"""What is left when the storm is over: the log, the parties' journals, the documents wherever they
lie, the queues; and whether anything is still on its way."""
import base64
import csv
import dataclasses
import datetime
import json
import time
import urllib.parse
import urllib.request

import psycopg2
import redis

from demolib.shop import DATABASE

QUIET_SECONDS = 120
POLL_SECONDS = 0.5
SAY_SECONDS = 5
REDRIVE_SECONDS = 60
# Causes that the storm itself is: a card that never answers (and the sandbox's books lie in the
# PostgreSQL that is killed), and a message that was in hand alone each time its process was killed.
EXPLAINED = (": no answer", "the process ended each time while it handled this message alone")
# The broker's own figures are a second old.
CALM_SECONDS = 1.6

EVENTS = ("select position, stream_id::text, version, event_id::text, tenant, category, kind, type, "
          "data, meta, extract(epoch from recorded_at)::float8 from comanda.events "
          "order by epoch, tx, position")
JOURNAL = "select party, key, operation, outcome from sandbox.journal order by recorded_at"
DOCUMENTS = ("select key, version, owner, filter, listed, body from comanda_read.documents "
             "where collection = 'orders'")
ON_ITS_WAY = {
    "rows not published": "select count(*) from comanda.outbox",
    "timers": "select count(*) from comanda.timers",
    "sagas not ended": "select count(*) from (select stream_id from comanda.events where "
                       "category = 'saga' and kind = 'event' group by stream_id having not "
                       "bool_or(type in ('SagaCompleted', 'SagaCompensated'))) s",
    "orders not ended": "select count(*) from (select stream_id from comanda.events where "
                        "category = 'order' and kind = 'event' group by stream_id having not "
                        "bool_or(type in ('OrderConfirmed', 'OrderRejected', 'OrderCancelled'))) o",
    "debts of the cache": "select count(*) from comanda_read.cache_debt",
}


@dataclasses.dataclass(frozen=True)
class Event:
    position: int
    stream: str
    version: int
    id: str
    tenant: str
    category: str
    kind: str
    type: str
    data: dict
    meta: dict
    at: float


@dataclasses.dataclass
class History:
    """Plain rows, so that the checks know nothing of servers."""
    events: list
    journal: list  # (party, key, operation, outcome)
    documents: dict  # order: (version, owner, filter, listed, body)
    cached: dict  # order: (version, body)
    shown: dict  # order: (status, body) of GET
    listed: dict  # customer: [order, …]
    stock: dict  # SKU: received at the beginning

    def of(self, category, kind="event"):
        return [event for event in self.events if event.category == category and
                event.kind == kind]


class Look:
    """Reads a world's servers; over connections of its own."""

    def __init__(self, world):
        self.world = world
        address = urllib.parse.urlsplit(world.shop.server("COMANDA_TEST_AMQP_HTTP"))
        login = base64.b64encode(f"{address.username}:{address.password}".encode()).decode()
        self.headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}
        self.management = f"http://{address.hostname}:{address.port}/api"

    def sql(self, query):
        return self.world.pair.ask(query, database=DATABASE)

    def api(self, path, body=None):
        request = urllib.request.Request(self.management + path, headers=self.headers,
                                         data=json.dumps(body).encode() if body else None)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def queues(self):
        """Messages by queue; those that rest in a queue or are in somebody's hand."""
        return {queue["name"]: queue.get("messages", 0) for queue in self.api("/queues")}

    def on_its_way(self):
        """What is not quiet yet, in words; dead letters are not on their way."""
        found = []
        try:
            for what, query in ON_ITS_WAY.items():
                count = self.sql(query)[0][0]
                if count:
                    found.append(f"{count} {what}")
            found += [f"{count} messages in {name}" for name, count in self.queues().items()
                      if count and not name.endswith(".dead") and name != "comanda.unrouted"]
        except (OSError, psycopg2.Error, ValueError) as reason:
            found.append(f"cannot be asked: {str(reason).strip()[:120]}")
        return found

    def await_quiet(self, seconds=QUIET_SECONDS, say=None):
        """Gives what is not quiet when the time is over; nothing: it has been for a while."""
        said_at = time.monotonic()
        deadline = time.monotonic() + seconds
        calm_since = None
        while True:
            found = self.on_its_way()
            now = time.monotonic()
            calm_since = None if found else calm_since or now
            if calm_since and now - calm_since >= CALM_SECONDS:
                return []
            if say and found and now - said_at >= SAY_SECONDS:
                said_at = now
                say("not quiet yet: " + ", ".join(found))
            if now > deadline:
                return found or ["not for long enough"]
            time.sleep(POLL_SECONDS)

    def dead_letters(self):
        """By queue, what lies there as `name: cause`; it stays there."""
        found = {}
        for name, count in self.queues().items():
            if count and name.endswith(".dead"):
                letters = self.api(f"/queues/%2F/{name}/get", {
                    "count": 1000, "ackmode": "ack_requeue_true", "encoding": "auto",
                    "truncate": 4096})
                found[name] = [letter_text(letter) for letter in letters]
        return found

    def redrive(self):
        """Gives the dead letters that are explained back, as an operator would, and waits for quiet
        again. Gives those; then what lies there still, and what is not quiet."""
        letters = self.dead_letters()
        explained = {queue: [text for text in texts if any(cause in text for cause in EXPLAINED)]
                     for queue, texts in letters.items()}
        queues = [queue for queue, texts in letters.items() if texts == explained[queue]]
        for queue in queues:
            self.world.newest().ctl("dlq", "redrive", queue.removesuffix(".dead"))
        not_quiet = self.await_quiet(REDRIVE_SECONDS) if queues else []
        given = [text for queue in queues for text in explained[queue]]
        return given, self.dead_letters(), not_quiet

    # The whole history.

    def events(self):
        return [Event(*row) for row in self.sql(EVENTS)]

    def cached(self):
        """The orders' documents in Redis that belong to the current generation."""
        client = redis.Redis.from_url(self.world.shop.redis("admin"), socket_timeout=10)
        mark = client.get("comanda:doc::{generation}")
        generation = mark.split(b" ")[0] if mark else None
        found = {}
        for key in client.scan_iter("comanda:doc:main:orders:*", count=1000):
            value = client.get(key)
            if value is not None:
                head, _, body = value.partition(b"\n")
                words = head.split(b" ")
                if words[0] == generation:
                    found[key.decode().rpartition(":")[2]] = (int(words[1]), json.loads(body))
        return found

    def write(self, path, history):
        """For whoever looks at a failure when the servers are gone."""
        with open(path / "events.csv", "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow([field.name for field in dataclasses.fields(Event)])
            for event in history.events:
                at = datetime.datetime.fromtimestamp(event.at, datetime.timezone.utc)
                rows.writerow([event.position, event.stream, event.version, event.id, event.tenant,
                               event.category, event.kind, event.type, json.dumps(event.data),
                               json.dumps(event.meta), at.isoformat()])
        with open(path / "journal.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(history.journal)


def letter_text(letter):
    headers = letter.get("properties", {}).get("headers", {})
    cause = headers.get("comanda-cause", "no cause told")
    return f"{letter.get('properties', {}).get('message_id', '?')}: {cause}"


def read_history(look, get, list_all, stock):
    """get(order): status and body of a GET; list_all(customer): the ids of all pages."""
    events = look.events()
    orders = [event.stream for event in events if event.type == "OrderPlaced"]
    documents = {row[0]: row[1:] for row in look.sql(DOCUMENTS)}
    cached = look.cached()
    customers = {event.data["customer"] for event in events if event.type == "OrderPlaced"}
    return History(events=events, journal=look.sql(JOURNAL), documents=documents, cached=cached,
                   shown={order: get(order) for order in orders},
                   listed={customer: list_all(customer) for customer in sorted(customers)},
                   stock=stock)
