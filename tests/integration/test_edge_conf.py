# SPDX-License-Identifier: Apache-2.0
"""What `nginx -t` says about our directives, and a context that is no shop behind the same edge."""
import re

import pytest

from daemon import BUILD, uuid7
from edge import Edge, Shop, checked

COUNTERS = """
location = /counters {
    comanda_command counting.open_counter scope=count location=/counters/;
    comanda_list counters owner=own scope=count;
}
location ~ ^/counters/(?<id>[^/]+)$ {
    comanda_query counters key=$id owner=own scope=count;
}
location ~ ^/counters/(?<id>[^/]+)/additions$ {
    comanda_command counting.add_counter target=$id scope=count status=200;
}
location = /additions { comanda_command counting.add_counter target=$arg_id scope=count status=200; }
location = /readyz { comanda_jwt off; comanda_health ready; }
"""


@pytest.fixture(scope="module")
def shop():
    made = Shop(products=False)
    yield made
    made.drop()


@pytest.fixture(scope="module")
def counters(shop):
    yield from checked(Edge(shop, modules="seam/module",
                            locations=COUNTERS, names=True))


def send(edge, path, body, **more):
    headers = dict(more.pop("headers", {}), **{"Idempotency-Key": str(uuid7())})
    return edge.call("POST", path, body, headers=headers, **more)


def test_given_a_context_that_is_no_shop_then_the_same_edge_serves_it(counters):
    token = counters.shop.token(scope="count")
    opened = send(counters, "/counters", {"start": 5}, token=token)
    assert opened.status == 201
    place = opened.headers["location"]
    assert place == "/counters/" + opened.json["id"]
    added = send(counters, place + "/additions", {"amount": 3}, token=token)
    assert (added.status, added.json["value"], added.headers["etag"]) == (200, 8, '"2"')
    found = counters.get(place, token=token)
    assert (found.json["value"], found.headers["etag"]) == (8, '"2"')
    full = send(counters, place + "/additions", {"amount": 1000}, token=token)
    refused = None
    for _ in range(1100):
        refused = send(counters, place + "/additions", {"amount": 1000}, token=token)
        if refused.status == 409:
            break
    assert (full.status, refused.status, refused.slug) == (200, 409, "counter-full")


def test_given_a_target_in_the_query_then_a_key_of_another_target_is_reused(counters):
    """Red before: the second was answered as the first, with the first's document."""
    token = counters.shop.token(scope="count")
    one, other = (send(counters, "/counters", {"start": 5}, token=token).json["id"]
                  for _ in range(2))
    key = {"Idempotency-Key": str(uuid7())}

    def add(target):
        return counters.call("POST", f"/additions?id={target}", {"amount": 3}, token=token,
                             headers=key)

    first = add(one)
    assert (first.status, first.json["id"]) == (200, one)
    reused = add(other)
    assert (reused.status, reused.json["type"]) == (422, "urn:comanda:problem:idempotency-key-reused")
    assert counters.get(f"/counters/{other}", token=token).json["version"] == 1
    missing = add(uuid7())
    assert (missing.status, missing.json["type"]) == (422, reused.json["type"])
    again = add(one)
    assert (again.status, again.text) == (200, first.text)
    assert again.headers["idempotency-replayed"] == "true"


def test_given_another_ones_counter_then_it_is_not_found(counters):
    opened = send(counters, "/counters", {"start": 5}, token=counters.shop.token(scope="count"))
    other = counters.shop.token("bob", scope="count")
    assert counters.get(opened.headers["location"], token=other).status == 404
    assert send(counters, opened.headers["location"] + "/additions", {"amount": 1},
                token=other).status == 404


def test_given_a_long_stream_then_it_is_read_in_parts(counters):
    token = counters.shop.token(scope="count")
    place = send(counters, "/counters", {"start": 0}, token=token).headers["location"]
    stream = place.rsplit("/", 1)[1]
    counters.shop.database.rows(
        "insert into comanda.events (position, epoch, tenant, category, stream_id, version,"
        " event_id, kind, type, schema_version, data, meta)"
        " select nextval('comanda.event_position'), (select epoch from comanda.log), 'main',"
        " 'counter', %s, n, gen_random_uuid(), 'event', 'CounterAdded', 1, '{\"amount\":1}', '{}'"
        " from generate_series(2, 1001) n", stream)
    added = send(counters, place + "/additions", {"amount": 1}, token=token)
    assert (added.json["value"], added.headers["etag"]) == (1001, '"1002"')


BAD = [
    ("comanda_postgres second \"hostaddr=127.0.0.1\";", "http", "stands twice"),
    ("comanda_redis second 127.0.0.1:1;", "http", "stands twice"),
    ("comanda_tenant one; comanda_tenant two;", "http", "stands twice"),
    *[(f"comanda_postgres log \"hostaddr=127.0.0.1\" {word};", "alone", said) for word, said in [
        ("connections=0", "from 1 to 32"), ("connections=33", "from 1 to 32"),
        ("connections=two", "from 1 to 32"), ("queue=0", "from 1 to 65536"),
        ("queue=65537", "from 1 to 65536"), ("timeout=0s", "timeout"), ("timeout=61s", "timeout"),
        ("timeout=soon", "timeout"), ("patience=1s", "patience")]],
    *[(f"comanda_redis hot {words};", "alone", said) for words, said in [
        ("nowhere.invalid:6379", 'host not found: "nowhere.invalid:6379"'),
        ("127.0.0.1:0", "invalid port"), ("127.0.0.1:70000", "invalid port"),
        ("127.0.0.1:redis", "invalid port"), ("[::1", "[::1"), ("unix:/tmp/redis", "host>:<port>"),
        ("127.0.0.1:1 timeout=0s", "timeout"), ("127.0.0.1:1 timeout=11s", "timeout"),
        ("127.0.0.1:1 timeout=soon", "timeout"), ("127.0.0.1:1 user=a", "stand together")]],
    ("comanda_tenant UPPER;", "http", "a-z"),
    ("location /x { comanda_command ordering.eat_order scope=s; }", "server", "has a command of that name"),
    ("location /x { comanda_command ordering.place_order; }", "server", "scope="),
    ("location /x { comanda_command ordering.place_order scope=s target=$arg_x; }", "server", "no target"),
    ("location /x { comanda_command ordering.cancel_order scope=s; }", "server", "target=$variable"),
    ("location /x { comanda_command ordering.place_order scope=s status=404; }", "server", "from 200 to 299"),
    ("location /x { comanda_command ordering.place_order scope=s priority=urgent; }", "server", "high or normal"),
    ("location /x { comanda_command ordering.place_order scope=s colour=red; }", "server", "no parameter"),
    ("location /x { comanda_command ordering.place_order scope; }", "server", "no name=value"),
    ("location /x { comanda_command ordering.place_order scope=s scope=t; }", "server", "twice"),
    ("location /x { comanda_query shoes key=$arg_x owner=public; }", "server", "no collection"),
    ("location /x { comanda_query orders owner=public; }", "server", "key="),
    ("location /x { comanda_query orders key=$arg_x owner=own; }", "server", "scope="),
    ("location /x { comanda_list orders owner=own; }", "server", "scope="),
    ("location /x { comanda_health well; }", "server", "live or ready"),
]


@pytest.mark.parametrize("line, block, said", BAD)
def test_given_a_bad_directive_then_nginx_names_its_line(shop, line, block, said):
    """alone: in place of the store's line that each of our edges has."""
    edge = Edge(shop, start=False, redis="127.0.0.1:1", **{
        "http": {"http": line}, "server": {"locations": line}, "alone": {}}[block])
    try:
        if block == "alone":
            directive = line.split()[0]
            edge.conf.write_text(re.sub(rf"{directive} .*", lambda _: line,
                                        edge.conf.read_text(), count=1))
        number = [n for n, text in enumerate(edge.conf.read_text().splitlines(), 1)
                  if line in text][0]
        tried = edge.nginx("-t")
        assert tried.returncode != 0
        assert said in tried.stderr, tried.stderr
        assert f"nginx.conf:{number}" in tried.stderr, tried.stderr
    finally:
        edge.remove()


@pytest.mark.parametrize("conninfo, said", [
    ("host=nowhere.invalid", 'host not found: "nowhere.invalid"'),
    ("postgresql://me@nowhere.invalid/log?", 'host not found: "nowhere.invalid"'),
    ("host=127.0.0.1,127.0.0.2", "give one name"),
    ("dbname=x", "give one name"),
    ("hostaddr=127.0.0.1 colour=red", "libpq does not know"),
    ("hostaddr=127.0.0.1 password=two geheim", "libpq does not know"),
])
def test_given_a_bad_connection_string_then_nginx_says_why_without_the_password(shop, conninfo, said):
    edge = Edge(shop, start=False)
    try:
        text = edge.conf.read_text()
        begin = text.index("comanda_postgres main \"") + len("comanda_postgres main \"")
        end = text.index('"', begin)
        secret = "password=geheim" if conninfo.endswith("?") else " password=geheim"
        edge.conf.write_text(text[:begin] + conninfo + secret + text[end:])
        tried = edge.nginx("-t")
        assert tried.returncode != 0 and said in tried.stderr
        assert f"nginx.conf:{text[:begin].count(chr(10)) + 1}" in tried.stderr
        assert "geheim" not in tried.stderr
    finally:
        edge.remove()
