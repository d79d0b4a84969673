# SPDX-License-Identifier: Apache-2.0
"""The log is published again: nobody minds, and who has missed something has it then."""
import json
import os
import re
import signal
import subprocess

import pytest

from daemon import BUILD, Database, until
from fulfilment import SAGAS, Shop, Vhost
from read_side import ReadSide
from test_saga import HASTY, close_shop

PATIENT = {"COMANDA_SAGA_TIMEOUT": "120s", "COMANDA_RETRY_3": "400s"}
DAEMONS = ("relay", "saga", "payment", "inventory", "shipping", "projector")
QUEUES = ("saga", "ordering", "payment", "inventory", "shipping", "projector")
DAEMON_OF = {"ordering": "saga"}


@pytest.fixture(scope="module")
def side(tmp_path_factory):
    made = ReadSide(tmp_path_factory.mktemp("replay"), **PATIENT)
    made.stock("SKU-1", 100)
    made.start(*DAEMONS)
    made.orders = [made.place(), made.place(token="tok_declined"), made.place(quantity=1000),
                   made.place(postal_code="00000-000"), made.place()]
    made.cancel(made.orders[-1])
    for order in made.orders:
        made.ended(order)
    until(lambda: unsettled(made) == 0, "the relay has published all")
    until(lambda: at_rest(made), "all is quiet")
    yield made
    made.stop_in_order()
    made.close()


def unsettled(shop):
    return shop.database.rows("select comanda.backlog('relay', 1000)")[0][0]


def taken(shop):
    """Messages that each queue's consumer is done with."""
    counts = {}
    for queue in QUEUES:
        daemon = shop.daemons[DAEMON_OF.get(queue, queue)]
        counts[queue] = sum(
            float(line.rsplit(" ", 1)[1]) for line in daemon.get("/metrics")[1].splitlines()
            if line.startswith(f'comanda_messages_total{{queue="comanda.{queue}"'))
    return counts


def at_rest(shop):
    documents = {row[0]: row[1] for row in shop.database.rows(
        "select stream::text, version from comanda_read.documents")}
    return all(documents.get(str(order)) == len(shop.types(order)) for order in shop.orders) and \
        all(shop.broker.ready(f"comanda.{queue}") == 0 for queue in QUEUES)


def everything(shop):
    """But for the inbox."""
    return {
        "events": shop.database.rows("select stream_id::text, version, event_id::text, type,"
                                     " data::text from comanda.events order by 1, 2"),
        "timers": shop.database.rows("select id::text from comanda.timers order by 1"),
        "journal": shop.database.rows("select key, operation, outcome from sandbox.journal"
                                      " order by recorded_at"),
        "documents": shop.documents()}


def published_rows(shop):
    return shop.database.rows("select count(*) from comanda.events where kind <> 'event'"
                              " or category <> 'saga'")[0][0]


def expected(shop):
    """Messages a queue has of the whole log."""
    def count(where):
        return shop.database.rows(f"select count(*) from comanda.events where {where}")[0][0]
    route = "kind = 'command' and meta->>'route' like"
    return {"saga": count("kind = 'reply' or type in ('OrderPlaced', 'OrderCancelRequested')"),
            "ordering": count(f"{route} 'ordering.%%'"), "payment": count(f"{route} 'payments.%%'"),
            "inventory": count(f"{route} 'inventory.%%'"),
            "shipping": count(f"{route} 'shipping.%%'"),
            "projector": count("kind = 'event' and category in ('order', 'product')")}


@pytest.mark.parametrize("inbox", ["as it is", "outlived"])
def test_the_whole_log_again_changes_nothing_in_any_daemon(side, inbox):
    if inbox == "outlived":  # the rows of three months ago are gone, the messages are not
        side.database.rows("truncate comanda.inbox")
    before, done = everything(side), taken(side)
    code, said = side.ctl("event", "replay", "--after", "0.0.0", "--rate", "100000", "--json")
    assert code == 0, said
    assert json.loads(said)["published"] == published_rows(side)
    wanted = {queue: done[queue] + count for queue, count in expected(side).items()}
    assert min(expected(side).values()) > 0
    until(lambda: taken(side) == wanted, f"{wanted} are handled")
    until(lambda: unsettled(side) == 0, "what came of it is published")
    assert everything(side) == before
    assert all(side.broker.ready(f"comanda.{queue}.dead") == 0 for queue in QUEUES)


def test_a_dry_run_counts_and_publishes_nothing(side):
    done = taken(side)
    code, said = side.ctl("event", "replay", "--after", "0.0.0", "--category", "order", "--dry-run",
                          "--json")
    rows = {row["type"]: row["rows"] for row in json.loads(said)}
    assert code == 0
    assert rows["OrderPlaced"] == len(side.orders) and rows["OrderCancelRequested"] == 1
    code, said = side.ctl("event", "replay", "--stream", side.orders[0], "--dry-run", "--json")
    assert [row["type"] for row in json.loads(said)] == side.types(side.orders[0])
    code, said = side.ctl("event", "replay", "--after", "0.0.0", "--queue", "shipping", "--dry-run",
                          "--json")
    assert {row["kind"] for row in json.loads(said)} == {"command"}
    assert sum(row["rows"] for row in json.loads(said)) == expected(side)["shipping"]
    assert taken(side) == done


def test_times_choose_what_was_recorded_between_them(side):
    first, = side.database.rows("select recorded_at from comanda.events where stream_id = %s and"
                                " version = 1", str(side.orders[1]))[0]
    at = first.strftime("%Y-%m-%dT%H:%M:%S.") + f"{first.microsecond // 1000:03}Z"
    wanted = side.database.rows(
        "select count(*) from comanda.events where category = 'order' and recorded_at >= %s"
        " and kind = 'event'", at)[0][0]
    code, said = side.ctl("event", "replay", "--since", at, "--category", "order", "--dry-run",
                          "--json")
    assert (code, sum(row["rows"] for row in json.loads(said))) == (0, wanted)
    code, said = side.ctl("event", "replay", "--since", "2020-01-01T00:00:00Z", "--until",
                          "2020-01-02T00:00:00Z", "--dry-run")
    assert (code, said) == (0, "nothing would be published\n")


def test_a_replay_that_is_stopped_says_where_to_go_on(side):
    environment = dict(os.environ, COMANDA_POSTGRES=side.database.conninfo, COMANDA_SAGAS=SAGAS,
                       COMANDA_AMQP=side.broker.url_of("operator"))
    command = [BUILD / "bin/comandactl", "event", "replay", "--after", "0.0.0", "--category", "order"]
    with subprocess.Popen([*command, "--rate", "1"], env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert "published, up to " in child.stderr.readline()
        child.send_signal(signal.SIGINT)
        said, _ = child.communicate(timeout=60)
    assert child.returncode == 1
    first = int(re.match(r"(\d+) rows were published again", said)[1])
    place = re.search(r"stopped; go on with --after (\d+\.\d+\.\d+)\n", said)[1]
    code, said = side.ctl("event", "replay", "--after", place, "--category", "order", "--json")
    orders = side.database.rows("select count(*) from comanda.events where category = 'order'")[0][0]
    assert code == 0 and 0 < first < orders
    assert first + json.loads(said)["published"] == orders


@pytest.mark.parametrize("line, told", [
    ((), "give one of --after POSITION, --since TIME and --stream ID"),
    (("--after", "0.0.0", "--since", "2026-11-24T06:52:25Z"), "give one of"),
    (("--after", "12"), "<epoch>.<tx>.<position>"),
    (("--since", "yesterday"), "--since yesterday: write a time in UTC"),
    (("--since", "2026-11-24T06:52:25Z", "--until", "2026-11-23T06:52:25Z"), "before --since"),
    (("--stream", "7"), "--stream 7: write a UUID"),
    (("--after", "0.0.0", "--rate", "0"), "--rate 0: write a number from 1 to 100000"),
    (("--after", "0.0.0", "--limit", "0"), "--limit 0: write a number above 0"),
    (("--after", "0.0.0", "--queue", "nobody"), "there is no queue nobody"),
])
def test_a_line_that_is_wrong_says_so(side, line, told):
    code, said = side.ctl("event", "replay", *line)
    assert code == 2 and told in said


def test_documents_that_an_emptied_queue_has_cost_come_by_a_replay_to_that_queue(side):
    queue = "comanda.projector"
    side.end("projector")
    order = side.place()
    side.ended(order)
    until(lambda: unsettled(side) == 0, "all is published")
    until(lambda: side.broker.ready(queue) >= len(side.types(order)), "all waits for the projector")
    side.broker.channel.queue_purge(queue)
    side.start("projector")
    assert side.document(order) is None
    code, said = side.ctl("event", "replay", "--stream", order, "--queue", "projector")
    assert code == 0, said
    side.reaches(order, len(side.types(order)))


def test_a_queue_that_is_not_there_is_no_success(side):
    order = side.orders[0]
    elsewhere = Vhost()
    try:
        environment = {"COMANDA_POSTGRES": side.database.conninfo, "COMANDA_AMQP": elsewhere.url,
                       "COMANDA_SAGAS": SAGAS}
        done = subprocess.run([BUILD / "bin/comandactl", "event", "replay", "--stream", str(order),
                               "--queue", "projector"], env={**os.environ, **environment},
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 4
        assert "after 0 rows" in done.stderr and "the broker has no such queue" in done.stderr
    finally:
        elsewhere.drop()


def test_sagas_that_are_missing_are_started(tmp_path):
    shop = Shop(Database(), Vhost(), tmp_path, **HASTY)
    shop.stock("SKU-1", 100)
    try:
        shop.start("relay", "saga")
        shop.end("saga")
        orders = [shop.place() for _ in range(3)]
        until(lambda: shop.broker.ready("comanda.saga") == 3, "they are published")
        shop.broker.channel.queue_purge("comanda.saga")
        until(lambda: shop.database.rows("select count(*) from comanda.events where type ="
                                         " 'OrderPlaced' and recorded_at < now() - interval '3 s'")
              == [(3,)], "they are older than a step may take")
        shop.database.rows("update comanda.saga_watch set due_at = '-infinity'")
        shop.start("saga", "payment", "inventory", "shipping")
        until(lambda: shop.daemons["saga"].metric("comanda_sagas_missing ", absent=0) == 3, "told")
        code, said = shop.ctl("saga", "start")
        assert code == 2 and "--missing" in said
        code, said = shop.ctl("saga", "start", "--missing", "--dry-run", "--json")
        assert code == 1 and {row["stream"] for row in json.loads(said)} == set(map(str, orders))
        code, said = shop.ctl("saga", "start", "--missing", "--limit", "1", "--json")
        assert (code, json.loads(said)["published"]) == (0, 1)
        code, said = shop.ctl("saga", "start", "--missing")
        assert code == 0, said
        for order in orders:
            assert shop.ended(order) in ("OrderConfirmed", "OrderRejected")
        code, said = shop.ctl("saga", "start", "--missing", "--dry-run")
        assert (code, said) == (0, "no saga is missing\n")
    finally:
        close_shop(shop)
