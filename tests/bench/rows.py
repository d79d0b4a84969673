# SPDX-License-Identifier: Apache-2.0
"""The rows of the table: each measures its two sides alternately and adds itself to the report."""
import json
import secrets
import time
import uuid

import load
from house import ask, wait_until
from processes import Processes, spent

FLOORS = {"post_order": 3.0, "get_order_hot": 0.4, "relay": 0.7, "reserve_long_stream": 0.8,
          "hot_stock": 0.9, "order_to_confirmed": 0.16, "lone_order": 0.45, "idle": 1.0,
          "shed": 0.85}


class Bench:
    """What the rows share: the house, the other side, and how long and often to measure."""

    def __init__(self, house, report, seconds, rounds):
        self.house = house
        self.report = report
        self.seconds = seconds
        self.rounds = rounds
        self.processes = Processes(house)
        self.pgbench = load.Pgbench(house)
        self.pgbench_best = []
        self.orders = f"{house.shop.url()}/v1/orders"

    def compare(self, name, unit, values, against, against_values):
        self.report.compare(name, unit, values, against, against_values, FLOORS.get(name))

    def latencies(self, name, told):
        middle = sorted(told, key=lambda run: run["p50_us"])[len(told) // 2]
        for percentile in ("p50", "p99"):
            self.report.add(f"{name}_{percentile}", middle[f"{percentile}_us"] / 1000, "ms")

    def post(self, **settings):
        keys = self.house.home.path / "work" / "keys"
        told = load.wrk(self.orders, self.house.token, self.seconds, mode="order", keys=keys,
                        **settings)
        load.check_keys(self.house, keys, told["requests"])
        return told

    def cpu_of(self, name, unit, run):
        """Runs it and reports what each process spent on one of its n units."""
        before = self.processes.cpu_us()
        count, result = run()
        for process, used in sorted(spent(before, self.processes.cpu_us()).items()):
            if used / count >= 0.1:
                self.report.add(f"{name}_cpu_{process}", used / count, f"µs/{unit}")
        return result

    def memory(self, name):
        for process, mib in sorted(self.processes.memory_mib().items()):
            self.report.add(f"{name}_memory_{process}", mib, "MiB")


def post_order(bench):
    """64 connections, JWT, a new UUID v7 key each, workers off, every key looked up afterwards."""
    house = bench.house
    house.stop_daemons()
    bench.post()  # warms up; the first batches plan their statements
    told, cte, random = [], [], []
    for _ in range(bench.rounds):
        told.append(bench.post())
        bench.pgbench_best.append(bench.pgbench.best("three", bench.seconds))
        random.append(bench.post(random_keys=1))
        cte.append(bench.pgbench.best("cte", bench.seconds))
    rates = [run["requests"] / run["seconds"] for run in told]
    bench.compare("post_order", "orders/s", rates, "pgbench, three inserts in a transaction",
                  bench.pgbench_best)
    bench.compare("post_order_cte", "orders/s", rates, "pgbench, the same as one statement", cte)
    bench.compare("post_order_random_keys", "orders/s",
                  [run["requests"] / run["seconds"] for run in random], "post_order", rates)
    bench.latencies("post_order", told)

    def run():
        told = bench.post()
        return told["requests"], told
    bench.cpu_of("post_order", "order", run)
    bench.memory("post_order")


def get_order_hot(bench):
    """A document in Redis, with a token, against nginx answering the same bytes by itself."""
    house = bench.house
    keys = house.home.path / "work" / "keys"
    load.wrk(bench.orders, house.token, 1, mode="order", keys=keys)
    order = house.sql("select stream_id from comanda.events where type = 'OrderPlaced' "
                      "order by epoch desc, tx desc, position desc limit 1")
    url = f"{bench.orders}/{order}"
    status, body = ask(url, house.token)
    if status != 200:
        raise ValueError(f"{url}: {status} {body}")
    plain = house.start_plain_nginx(body)
    told, others = [], []
    for side in (url, plain):
        load.wrk(side, house.token, 1)
    for _ in range(bench.rounds):
        told.append(load.wrk(url, house.token, bench.seconds))
        other = load.wrk(plain, house.token, bench.seconds)
        others.append(other["requests"] / other["seconds"])
    bench.compare("get_order_hot", "reads/s", [run["requests"] / run["seconds"] for run in told],
                  "nginx, return 200", others)
    bench.latencies("get_order_hot", told)

    def run():
        told = load.wrk(url, house.token, bench.seconds)
        return told["requests"], told
    bench.cpu_of("get_order_hot", "read", run)
    house.end("plain-nginx")


CONFIRMED = ("select count(*), extract(epoch from max(recorded_at)) from comanda.events "
             "where type = 'OrderConfirmed' and kind = 'event' and epoch = 1 and tx >= '{tx}'")
PLACED = ("select count(*), extract(epoch from min(recorded_at)) from comanda.events "
          "where type = 'OrderPlaced' and kind = 'event' and epoch = 1 and tx >= '{tx}'")
CONFIRM_SECONDS = 600


def order_to_confirmed(bench, orders):
    """All orders offered at once; from the first placed to the last confirmed: orders a second."""
    house = bench.house
    rates, pgbench = [], []
    for turn in range(bench.rounds):
        skip_backlog(house)
        house.start_daemons()
        if turn < bench.rounds - 1:
            rates.append(confirm_all(bench, orders)[1])
        else:
            rates.append(bench.cpu_of("order_to_confirmed", "order",
                                      lambda: confirm_counted(bench, orders)))
            bench.memory("order_to_confirmed")
        house.stop_daemons()
        pgbench.append(bench.pgbench.best("three", bench.seconds))
    bench.compare("order_to_confirmed", "orders/s", rates,
                  "pgbench, three inserts in a transaction", pgbench)


def confirm_all(bench, orders):
    house = bench.house
    tx = house.sql("select pg_current_xact_id()")
    before = house.metric("saga", "comanda_sagas_total", outcome="completed")

    def ended():
        return house.metric("saga", "comanda_sagas_total", outcome="completed") - before

    def confirmed():
        return int(house.sql(CONFIRMED.format(tx=tx)).split("|")[0])
    load.wrk(bench.orders, house.token, 300, mode="order", count=orders,
             keys=house.home.path / "work" / "keys")
    deadline = time.monotonic() + CONFIRM_SECONDS
    # The saga's own count is asked first: a look at the log takes PostgreSQL's time.
    while ended() < orders or confirmed() < orders:
        if time.monotonic() > deadline:
            raise ValueError(f"{confirmed()} of {orders} orders are confirmed")
        time.sleep(0.2)
    placed, began = house.sql(PLACED.format(tx=tx)).split("|")
    _, last = house.sql(CONFIRMED.format(tx=tx)).split("|")
    if int(placed) != orders:
        raise ValueError(f"{placed} orders placed instead of {orders}")
    return orders, orders / (float(last) - float(began))


STOOD = ("select (select xact_commit from pg_stat_database where datname = current_database()),"
         " (select wal_sync from pg_stat_wal), (select wal_bytes from pg_stat_wal),"
         " (select last_value from comanda.event_position)")


def confirm_counted(bench, orders):
    """The same, and what an order takes: messages, rows, commits, syncs, bytes of WAL."""
    house = bench.house

    def stand():
        return [house.metric("relay", "comanda_relay_published_total"),
                *map(float, house.sql(STOOD).split("|"))]
    before = stand()
    result = confirm_all(bench, orders)
    for name, unit, after, then in zip(
            ("messages", "commits", "fsyncs", "wal", "rows"),
            ("messages", "commits", "fsyncs", "bytes", "rows"), stand(), before):
        bench.report.add(f"order_to_confirmed_{name}", (after - then) / orders, f"{unit}/order")
    return result


def skip_backlog(house):
    """The relay goes on from the end of the log: what was posted to measure is not published."""
    house.stop_daemons()
    house.sql("update comanda.leases set epoch = 1, tx = pg_current_xact_id(), position = "
              "(select last_value from comanda.event_position) where name = 'relay'")


LANES = 8
QUEUES = ("comanda.saga", "comanda.projector", "comanda.payment", "comanda.inventory",
          "comanda.shipping", "comanda.ordering", "comanda.unroutable",
          *(f"comanda.inventory.lane.{lane}" for lane in range(LANES)))


class Broker:
    """Purges queues and reads them out, over a connection a call."""

    def __init__(self, house):
        import pika
        self.pika = pika
        words = house.broker()
        self.parameters = pika.ConnectionParameters(
            words["host"], int(words["port"]), "/",
            pika.PlainCredentials(words["user"], words["password"]), heartbeat=0)

    def purge(self):
        connection = self.pika.BlockingConnection(self.parameters)
        channel = connection.channel()
        for queue in QUEUES:
            channel.queue_purge(queue)
        connection.close()

    def drain(self, queue, count):
        connection = self.pika.BlockingConnection(self.parameters)
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1000)
        bodies = []
        for _, _, body in channel.consume(queue, auto_ack=True, inactivity_timeout=30):
            if body is None:
                raise ValueError(f"{queue} held {len(bodies)} of {count} messages")
            bodies.append(body.decode())
            if len(bodies) == count:
                break
        connection.close()
        return bodies


def relay(bench, events):
    """The same tail of the log, published again and again, against librabbitmq alone."""
    house, broker = bench.house, Broker(bench.house)
    skip_backlog(house)
    start = house.sql("select tx, position from comanda.leases where name = 'relay'").split("|")
    load.wrk(bench.orders, house.token, 120, mode="order", count=events,
             keys=house.home.path / "work" / "keys")

    def ours():
        broker.purge()
        house.sql(f"update comanda.leases set epoch = 1, tx = '{start[0]}', position = {start[1]} "
                  "where name = 'relay'")
        house.start_daemons(["relay"])
        return relay_rate(house, events)

    ours()
    bodies = broker.drain("comanda.projector", events)
    house.stop_daemons()
    values, others = [], []
    for _ in range(bench.rounds):
        values.append(ours())
        house.stop_daemons()
        broker.purge()
        others.append(house.publish("comanda.events", "order.OrderPlaced", bodies))
    bench.compare("relay", "events/s", values, "librabbitmq alone", others)
    broker.purge()
    skip_backlog(house)


def relay_rate(house, events):
    """Events a second between the first look that finds some published and the last one."""
    def published():
        return house.metric("relay", "comanda_relay_published_total")
    first = None
    deadline = time.monotonic() + 300
    while True:
        count, now = published(), time.monotonic()
        if first is None and count > 0:
            first = (count, now)
        if count >= events:
            return (count - first[0]) / (now - first[1]) if now > first[1] else float(events)
        if now > deadline:
            raise ValueError(f"the relay has published {count} of {events}")
        time.sleep(0.02)


EVENTS_LONG, EVENTS_SHORT = 100_000, 100


def reserve_long_stream(bench, commands):
    """Reservations of one stock item with a long history, against one with a short one."""
    house, broker = bench.house, Broker(bench.house)
    skip_backlog(house)
    for sku, events in (("SKU-LONG", EVENTS_LONG), ("SKU-NEW", EVENTS_SHORT)):
        make_stock(house, sku, events)
    template = command_template(house)
    broker.purge()
    rates = {"SKU-LONG": [], "SKU-NEW": []}
    for turn in range(bench.rounds + 1):
        for sku, found in rates.items():
            house.start_daemons(["inventory"])
            rate = reserve(house, [command(template, sku) for _ in range(commands)])
            house.stop_daemons()
            if turn > 0:  # the first one folds the whole stream and leaves a snapshot
                found.append(rate)
    bench.compare("reserve_long_stream", "commands/s", rates["SKU-LONG"],
                  f"a stock item with {EVENTS_SHORT} events", rates["SKU-NEW"])


def hot_stock(bench, commands):
    """Reservations of one item by two workers, against the same by one. They come by the item's lane,
    as the relay sends them once the workers serve it."""
    house, broker = bench.house, Broker(bench.house)
    skip_backlog(house)
    make_stock(house, "SKU-HOT", EVENTS_SHORT)
    template = command_template(house)
    house.home.choose_port("probe_inventory-2")
    broker.purge()
    rates = {1: [], 2: []}
    for turn in range(bench.rounds + 1):
        for workers, found in rates.items():
            names = ["inventory", "inventory-2"][:workers]
            house.start_daemons(names)
            wait_until("the lanes are shared out", 60, lambda names=names: all(
                house.metric(name, "comanda_lanes") == LANES / len(names) for name in names))
            rate = reserve(house, [command(template, "SKU-HOT") for _ in range(commands)],
                           names, "0.")
            house.stop_daemons(names)
            if turn > 0:
                found.append(rate)
    bench.compare("hot_stock", "commands/s", rates[2], "one worker", rates[1])


def make_stock(house, sku, events):
    path = house.home.write("work/long.ndjson", json.dumps({"sku": sku, "quantity": 1000}) + "\n")
    house.shop.ctl("stock", "load", str(path))
    house.sql(
        "insert into comanda.events (epoch, version, stream_id, event_id, schema_version, tenant, "
        "category, kind, type, data, meta) select e.epoch, n, e.stream_id, gen_random_uuid(), "
        "e.schema_version, e.tenant, e.category, e.kind, e.type, e.data, e.meta "
        f"from comanda.events e, generate_series(2, {events}) n where e.category = 'stock_item' "
        f"and e.version = 1 and e.data->>'sku' = '{sku}'; analyze comanda.events_named")


def command_template(house):
    """A real reservation command of the log."""
    data, meta = house.sql(
        "select data, meta from comanda.events where kind = 'command' and "
        "meta->>'route' = 'inventory.reserve_reservation' limit 1").split("|", 1)
    return json.loads(data), json.loads(meta)


def uuid7():
    number = int(time.time() * 1000) << 80 | 7 << 76 | secrets.randbits(12) << 64
    return uuid.UUID(int=number | 2 << 62 | secrets.randbits(62))


def command(template, sku):
    data, meta = template
    saga = uuid7()
    data = dict(data, saga_id=str(saga), stream_id=str(uuid7()),
                payload={"lines": [{"sku": sku, "quantity": 1}]})
    return json.dumps({
        "specversion": "1.0", "id": str(uuid7()), "source": "/comanda/main/saga",
        "type": "reserve", "subject": str(saga), "time": "2026-01-01T00:00:00.000Z",
        "datacontenttype": "application/json", "sequence": "0000000002", "tenant": "main",
        "category": "saga", "kind": "command", "schemaversion": 1, "position": "1.1.1",
        "correlationid": meta["correlation_id"], "route": meta["route"], "data": data,
    }, separators=(",", ":"))


def reserve(house, bodies, workers=("inventory",), lane=""):
    before = int(house.sql("select count(*) from comanda.events where kind = 'reply' "
                           "and type = 'ok'"))
    began = time.monotonic()
    house.publish("comanda.commands", f"{lane}inventory.reserve_reservation", bodies)
    wait_until("the reservations are made", 300, lambda: sum(
        house.metric(worker, "comanda_messages_total") for worker in workers) >= len(bodies))
    seconds = time.monotonic() - began
    made = int(house.sql("select count(*) from comanda.events where kind = 'reply' "
                         "and type = 'ok'")) - before
    if made != len(bodies):
        raise ValueError(f"{made} of {len(bodies)} reservations were made")
    return len(bodies) / seconds
