# SPDX-License-Identifier: Apache-2.0
"""Commands and queries on streams of very many events: state and document come from a snapshot and
what came after it. A context that is no shop; each test makes a stream of its own by SQL."""
import concurrent.futures

import pytest

from daemon import until, uuid7
from edge import Edge, LockedTable, Shop, checked

COUNTERS = """
location = /counters { comanda_command counting.open_counter scope=count location=/counters/; }
location ~ ^/counters/(?<id>[^/]+)$ { comanda_query counters key=$id owner=own scope=count; }
location ~ ^/counters/(?<id>[^/]+)/additions$ {
    comanda_command counting.add_counter target=$id scope=count status=200;
}
location = /readyz { comanda_jwt off; comanda_health ready; }
location = /metrics { comanda_jwt off; comanda_metrics; }
"""

# Every page is counted: what a command costs is rows and statements, not time. In a test of a budget
# a page takes its time, so that it is the pages that use the budget up.
COUNTED_PAGES = """
create table page (rows int8 not null);
alter function comanda.read_streams(uuid[], int4[], int4[], int2[], int2[], int4)
    rename to read_streams_at_once;
create function comanda.read_streams(uuid[], int4[], int4[], int2[], int2[], int4)
returns table (ordinal int4, version int4, kind text, epoch int4, tx xid8, "position" int8,
    event_id uuid, tenant text, category text, type text, schema_version int2, data json,
    meta json, recorded_at timestamptz) language plpgsql as $$
declare
    rows int8;
begin
    perform pg_sleep({seconds});
    return query select * from comanda.read_streams_at_once($1, $2, $3, $4, $5, $6);
    get diagnostics rows = row_count;
    insert into public.page values (rows);
end $$;
"""


def counter(database, length, tenant="main", stream=None, first=1):
    """Opened at 0 by ana, then 1 more with each event. stream, first: one that goes on from there."""
    stream = stream or str(uuid7())
    database.rows(
        "insert into comanda.events (epoch, tenant, category, stream_id, version, event_id, kind, type,"
        " schema_version, data, meta) select (select epoch from comanda.log), %s, 'counter', %s, n,"
        " gen_random_uuid(), 'event', case n when 1 then 'CounterOpened' else 'CounterAdded' end, 1,"
        " (case n when 1 then '{\"owner\":\"ana\",\"start\":0}' else '{\"amount\":1}' end)::json, '{}'"
        " from generate_series(%s, %s) n", tenant, stream, first, length)
    return stream


def add(edge, stream, amount=1, key=None):
    return edge.call("POST", f"/counters/{stream}/additions", {"amount": amount},
                     token=edge.shop.token(scope="count"),
                     headers={"Idempotency-Key": key or str(uuid7())})


def look(edge, stream):
    return edge.get(f"/counters/{stream}", token=edge.shop.token(scope="count"))


def kept(edge, stream):
    """The newest snapshots of a stream, by what they are of."""
    return dict(edge.shop.database.rows(
        "select kind, max(version) from comanda.snapshots where stream_id = %s group by kind", stream))


def outcomes(edge, outcome):
    return edge.metric(f'comanda_commands_total{{command="counting.add_counter",outcome="{outcome}"}}')


@pytest.fixture(scope="module")
def shop():
    made = Shop(products=False)
    made.database.rows(COUNTED_PAGES.format(seconds=0))
    yield made
    made.drop()


@pytest.fixture(scope="module")
def edge(shop):
    yield from checked(Edge(shop, redis="", modules="seam/module", locations=COUNTERS))


@pytest.fixture(scope="module")
def slow():
    shop = Shop(products=False)
    shop.database.rows(COUNTED_PAGES.format(seconds=0.1))
    yield from checked(Edge(shop, redis="", modules="seam/module", locations=COUNTERS, timeout="1s"))
    shop.drop()


@pytest.mark.parametrize("length", [40000, 100000])
def test_given_a_stream_of_very_many_events_then_a_command_on_it_is_done(edge, length):
    stream = counter(edge.shop.database, length)
    first = add(edge, stream, 5)
    assert (first.status, first.json["value"], first.headers["etag"]) == (
        200, length + 4, f'"{length + 1}"')
    # The last ones on the way, or at the end: never more than 99 events before it.
    until(lambda: len(found := kept(edge, stream)) == 2 and min(found.values()) > length - 100,
          "snapshots are kept")
    again = add(edge, stream, 5)
    assert (again.status, again.json["value"]) == (200, length + 9)
    assert look(edge, stream).json["value"] == length + 9
    assert "is past" not in edge.log() and "too long" not in edge.log()


def test_given_100000_events_then_a_command_costs_at_most_twice_what_it_does_with_100(edge):
    database = edge.shop.database
    short, long = counter(database, 98), counter(database, 99998)

    def cost(stream):
        database.rows("delete from page")
        assert add(edge, stream).status == 200
        return database.rows("select count(*), sum(rows) from page")[0]

    assert add(edge, long).status == 200
    until(lambda: min(kept(edge, long).values(), default=0) > 99900, "snapshots are kept")
    assert add(edge, short).status == 200
    small, large = cost(short), cost(long)
    assert (small[0], large[0]) == (1, 1), "statements"
    assert small[1] == 99 and large[1] <= 2 * small[1], (small, large)


PLANTED = {
    "another encoding": "update comanda.snapshots set codec = 9, digest = comanda.snapshot_digest("
                        " stream_id, kind, 9::int2, version, event_id, state) where stream_id = %s",
    "other bytes": "update comanda.snapshots set state = replace(state::text, '\"value\":299',"
                   " '\"value\":7')::json where stream_id = %s",
    "bytes of no state": "update comanda.snapshots set state = '[1]', digest ="
                         " comanda.snapshot_digest(stream_id, kind, codec, version, event_id, '[1]')"
                         " where stream_id = %s",
    "ahead of the log": "update comanda.snapshots set version = 9000, digest = comanda.snapshot_digest("
                        " stream_id, kind, codec, 9000, event_id, state) where stream_id = %s",
    "of another history": "with o as (select gen_random_uuid() as id) update comanda.snapshots set"
                          " event_id = o.id, digest = comanda.snapshot_digest(stream_id, kind, codec,"
                          " version, o.id, state) from o where stream_id = %s",
}


@pytest.mark.parametrize("planted", PLANTED)
def test_given_a_snapshot_that_is_not_to_be_trusted_then_it_is_not(edge, planted):
    database = edge.shop.database
    stream = counter(database, 300)
    assert add(edge, stream).json["value"] == 300
    until(lambda: kept(edge, stream) == {"state": 300, "document": 300}, "snapshots are kept")
    database.rows(PLANTED[planted], stream)
    assert look(edge, stream).json["value"] == 300
    added = add(edge, stream)
    assert (added.status, added.json["value"], added.headers["etag"]) == (200, 301, '"302"')


def test_given_another_tenants_stream_with_snapshots_then_there_is_no_such_thing(edge):
    database = edge.shop.database
    stream = counter(database, 300, tenant="other")
    for kind in ("state", "document"):
        database.rows(
            "select comanda.save_snapshots(array[stream_id], array[%s], array[1::int2], array[version],"
            " array[event_id], array[('{\"id\":\"' || stream_id || '\",\"version\":300,\"owner\":\"ana\","
            "\"value\":299}')::json]) from comanda.events where stream_id = %s and version = 300",
            kind, stream)
    assert kept(edge, stream) == {"state": 300, "document": 300}
    assert add(edge, stream).status == 404
    assert look(edge, stream).status == 404


def test_given_a_stream_too_long_for_one_budget_then_each_try_begins_where_the_last_ended(slow):
    stream = counter(slow.shop.database, 6000)
    before = outcomes(slow, "long_stream")
    refused = add(slow, stream)
    assert (refused.status, refused.slug) == (503, "long-stream")
    assert refused.headers["retry-after"] == "1"
    assert outcomes(slow, "long_stream") == before + 1
    assert f"stream {stream}, read up to version" in slow.log()
    tries = 0
    while (answer := add(slow, stream)).status == 503:
        tries += 1
        assert (answer.slug, tries < 6) == ("long-stream", True)
    assert (answer.status, answer.json["value"]) == (200, 6000)


def test_given_a_replay_deep_in_a_long_stream_then_it_goes_on_past_its_budget(slow):
    database = slow.shop.database
    stream, key = counter(database, 90), str(uuid7())
    first = add(slow, stream, 7, key)
    assert (first.status, first.json["value"]) == (200, 96)
    # The very key, as if it had been used far up the stream: 4,000 events are 16 pages, and no
    # document is kept on the way there.
    counter(database, 5000, stream=stream, first=92)
    until(lambda: add(slow, stream).status == 200, "its state is kept")
    until(lambda: kept(slow, stream).get("document", 0) > 4900, "its newest document too")
    database.rows("update comanda.keys set version = 4000 where id in (select id from comanda.keys"
                  " where stream_id = %s order by version limit 1)", stream)
    database.rows("delete from comanda.snapshots where stream_id = %s and kind = 'document'"
                  " and version <= 4000", stream)
    again = add(slow, stream, 7, key)
    assert (again.status, again.json["value"], again.headers["etag"]) == (200, 4005, '"4000"')
    assert again.headers["idempotency-replayed"] == "true"
    until(lambda: database.rows("select 1 from comanda.snapshots where stream_id = %s and version = 4000"
                                " and kind = 'document'", stream), "its document is kept")


def test_given_a_state_past_the_memory_then_the_limit_is_told(edge):
    database = edge.shop.database
    stream = counter(database, 2)
    database.rows(
        "insert into comanda.events (epoch, tenant, category, stream_id, version, event_id, kind, type,"
        " schema_version, data, meta) select (select epoch from comanda.log), 'main', 'counter', %s, 3,"
        " gen_random_uuid(), 'event', 'CounterAdded', 1,"
        " json_build_object('amount', 1, 'note', repeat('x', 9000000)), '{}'", stream)
    before = outcomes(edge, "too_large")
    refused = add(edge, stream)
    assert (refused.status, refused.slug) == (507, "memory-limit")
    assert "retry-after" not in refused.headers
    assert outcomes(edge, "too_large") == before + 1
    assert f"stream {stream}, read up to version 3, is past a limit of memory" in edge.log()
    seen = look(edge, stream)
    assert (seen.status, seen.slug) == (507, "memory-limit")
    assert edge.metric('comanda_queries_total{collection="counters",source="too_large"}') == 1


def test_given_a_product_repriced_very_often_then_orders_are_placed_at_its_last_price():
    """A document of another context that a decision looks up: it begins at a snapshot as well."""
    shop = Shop()
    database = shop.database
    shop.products("reprice", {"sku": "SKU-1", "price": {"amount": 777, "currency": "BRL"}})
    database.rows(
        "insert into comanda.events (epoch, tenant, category, stream_id, version, event_id, kind, type,"
        " schema_version, data, meta) select epoch, tenant, category, stream_id, version + n,"
        " gen_random_uuid(), kind, type, schema_version, data, meta from comanda.events,"
        " generate_series(1, 700) n where type = 'ProductRepriced'")
    try:
        for _ in checked(edge := Edge(shop, redis="")):
            placed = edge.place()
            assert (placed.status, placed.json["total"]["amount"]) == (201, 777)
            until(lambda: database.rows("select kind, version from comanda.snapshots") == [
                ("document", 702)], "the document is kept")
            assert edge.get("/v1/products/SKU-1", token=None).json["price"]["amount"] == 777
    finally:
        shop.drop()


def test_given_a_snapshot_that_cannot_be_kept_then_reads_leave_a_session_for_commands():
    """Red before: snapshots and reads each had all sessions but one."""
    shop = Shop(products=False)
    edge = Edge(shop, redis="", modules="seam/module", locations=COUNTERS, timeout="60s")
    try:
        long, short = counter(shop.database, 300), counter(shop.database, 5)
        snapshots = LockedTable(shop, "comanda.snapshots")
        documents = LockedTable(shop, "comanda_read.documents", "access exclusive")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            try:
                assert add(edge, long).status == 200
                until(lambda: snapshots.waiting() == 1, "a session keeps its snapshot")
                looked = pool.submit(look, edge, short)
                until(lambda: snapshots.waiting() == 2 or edge.metric("comanda_queue_length") == 1,
                      "a reader has come")
                added = pool.submit(add, edge, short)
                assert added.result(timeout=10).status == 200
                assert not looked.done()
            finally:
                documents.release()
                snapshots.release()
            assert looked.result().status == 200
        assert edge.complaints() == []
    finally:
        edge.remove()
        shop.drop()
