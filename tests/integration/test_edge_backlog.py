# SPDX-License-Identifier: Apache-2.0
"""comanda_shed by=backlog: placements are refused while what they start would lie for too long."""
import time

import pytest

from daemon import until, uuid7
from edge import Edge, Shop, checked, order_body



@pytest.fixture(scope="module")
def shop():
    made = Shop()
    made.database.rows("create sequence public.looks")
    made.database.rows("alter function comanda.backlog_s() rename to backlog_s_of_old")
    made.database.rows("create function comanda.backlog_s() returns int4 language sql volatile as"
                       " $$select comanda.backlog_s_of_old() from nextval('public.looks')$$")
    yield made
    made.drop()


@pytest.fixture(scope="module", params=[1, 4])
def edge(shop, request):
    yield from checked(Edge(shop, workers=request.param, connections=1, redis=""))


def told(edge, ago_s):
    """As a worker of that queue tells it."""
    edge.shop.database.rows(
        "insert into comanda.backlog (queue, worker, taken_up_to, told_at, holds_until) values"
        " ('comanda.inventory', 1, now() - make_interval(secs => %s), now(), now() + interval"
        " '1 hour') on conflict (queue, worker) do update set taken_up_to = excluded.taken_up_to",
        ago_s)


def caught_up(edge):
    edge.shop.database.rows("delete from comanda.backlog")
    until(lambda: edge.place().status == 201, "placements are taken")


def until_refused(edge):
    def refused():
        answer = edge.place()
        return answer if answer.status == 503 else None
    return until(refused, "a placement is refused")


def test_a_queue_that_is_behind_refuses_placements_and_nothing_else(edge):
    order = edge.place().json["id"]
    before = edge.metric("comanda_shed_backlog_total")
    told(edge, 100)
    refused = until_refused(edge)
    assert refused.slug == "overloaded" and 1 <= int(refused.headers["retry-after"]) <= 60
    assert edge.metric("comanda_shed_backlog_total") == before + 1
    assert edge.metric("comanda_backlog_age_seconds") >= 100
    assert edge.cancel(order).status == 202
    assert edge.get("/v1/orders").status == 200
    assert edge.place().status == 503
    caught_up(edge)
    until(lambda: edge.place().status == 201 and edge.metric("comanda_backlog_age_seconds") == 0,
          "the age is known")


def test_a_queue_within_the_promise_refuses_nothing(edge):
    told(edge, 20)
    until(lambda: edge.place().status == 201 and edge.metric("comanda_backlog_age_seconds") >= 20,
          "the edge has heard")
    assert edge.place().status == 201
    caught_up(edge)


def test_a_relay_that_is_behind_refuses_placements(edge):
    stream = uuid7()
    edge.shop.database.rows(
        "insert into comanda.events (recorded_at, epoch, tenant, category, stream_id, version,"
        " event_id, kind, type, schema_version, data, meta) select now() - interval '2 minutes',"
        " epoch, 'main', 'order', %s, 1, %s, 'event', 'OrderPlaced', 1, '{}', '{}' from comanda.log",
        str(stream), str(uuid7()))
    edge.shop.database.rows(
        "insert into comanda.leases (name, holder, fence, renewed_at, epoch, tx, position) select"
        " 'relay', 'x', 1, now(), epoch, tx, position - 1 from comanda.events where stream_id = %s",
        str(stream))
    until_refused(edge)
    edge.shop.database.rows("delete from comanda.leases")
    caught_up(edge)


def test_many_requests_look_once_a_second(edge):
    """By all workers together."""
    def looks():
        return edge.shop.database.rows("select last_value from public.looks")[0][0]
    began, before = time.monotonic(), looks()
    asked = 0
    while time.monotonic() < began + 2.5:
        edge.place()
        asked += 1
    assert asked > 10
    assert 1 <= looks() - before <= time.monotonic() - began + 1


@pytest.mark.parametrize("location, said", [
    ("comanda_shed by=backlog; comanda_shed by=backlog;", "stands twice at this level"),
    ("comanda_shed off; comanda_shed by=backlog;", "stands twice at this level"),
    ("comanda_shed by=backlog; comanda_shed off;", "is off and by=backlog at one level")])
def test_lines_that_contradict_each_other_are_named(shop, location, said):
    edge = Edge(shop, start=False, locations=f"location / {{ {location} }}")
    try:
        tested = edge.nginx("-t")
        assert tested.returncode != 0 and said in tested.stderr, tested.stderr
    finally:
        edge.remove()


def test_a_level_inherits_each_kind_of_line_by_itself(shop):
    place = "comanda_command ordering.place_order scope=orders:write;"
    edge = Edge(shop, redis="", locations=f"""
        comanda_shed by=backlog; comanda_backlog_max 5s;
        location = /readyz {{ comanda_jwt off; comanda_shed off; comanda_health ready; }}
        location = /metrics {{ comanda_jwt off; comanda_metrics; }}
        location = /v1/orders {{ comanda_shed by=postgres; {place} }}
        location = /off {{ comanda_shed off; {place} }}
        location = /more {{ comanda_backlog_max 1h; {place} }}""")
    try:
        told(edge, 20)
        until_refused(edge)
        for path in ("/off", "/more"):
            answer = edge.call("POST", path, order_body(), headers={"Idempotency-Key": str(uuid7())})
            assert answer.status == 201, path
        caught_up(edge)
    finally:
        edge.remove()
