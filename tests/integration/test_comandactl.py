# SPDX-License-Identifier: Apache-2.0
"""comandactl on real servers: what operators type, what they read, and the exit codes they script."""
import datetime
import json
import os
import re
import signal
import subprocess
import threading
import time

import jwt
import pika
import pytest

from daemon import BUILD, until, uuid7
from fulfilment import named, placed, saga_of
from read_side import ReadSide

NOUNS = ("doctor", "migrate", "product", "stock", "token", "event", "saga", "dlq", "topology",
         "projection")
KEY = "a development key of forty-two bytes, more"


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Relay, saga and projector; no participant, so that a saga stays where it is, and no step times
    out, so that none is parked."""
    made = ReadSide(tmp_path_factory.mktemp("operator"), COMANDA_SAGA_TIMEOUT="600s",
                    COMANDA_SAGA_PATIENCE="1h",
                    COMANDA_RETRY_3="2000s").start("relay", "saga", "projector")
    yield made
    made.close()


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """A database, a broker without topology and a Redis; no daemon."""
    made = ReadSide(tmp_path_factory.mktemp("bare"))
    yield made
    made.close()


def run(*arguments, **environment):
    done = subprocess.run([BUILD / "bin/comandactl", *map(str, arguments)], capture_output=True,
                          text=True, timeout=60, env={**os.environ, **environment})
    return done.returncode, done.stdout, done.stderr


def lines_of(path, *objects):
    path.write_text("".join(json.dumps(each) + "\n" for each in objects))
    return path


def on_hand(side, sku):
    return side.database.rows(
        "select coalesce(sum((data->>'quantity')::int8), 0)::int8 from comanda.events"
        " where stream_id = %s and type = 'StockReceived'",
        str(named("main", "stock_item", sku)))[0][0]


# --- the line itself

def test_given_every_noun_when_asked_for_help_then_it_shows_examples_and_exit_codes():
    assert all(text in run("--help")[1] for text in (*NOUNS, "COMANDA_AMQP_FILE", "`ps`"))
    for noun in NOUNS:
        code, out, _err = run(noun, "--help")
        assert code == 0
        assert "examples:" in out and "exit codes:" in out and f"comandactl {noun}" in out


@pytest.mark.parametrize("line", [
    (), ("nonsense",), ("product",), ("product", "load"), ("product", "load", "a", "b"),
    ("token", "mint", "--nonsense"), ("token", "mint", "--subject"), ("event", "show", "no-uuid"),
    ("saga", "show", "no-uuid"), ("saga", "list", "--state", "sleeping"),
    ("event", "tail", "--rows", "many"), ("dlq", "list", "--limit", "0"),
    ("projection", "rebuild", "cups"),
    ("projection", "status", "--postgres", "hostt=here password=geheim")])
def test_given_a_wrong_line_when_run_then_it_says_why_and_ends_with_2(bare, line):
    code, out, err = run(*line, COMANDA_POSTGRES=bare.database.conninfo, COMANDA_AMQP=bare.broker.url)
    assert code == 2, (out, err)
    assert out == "" and err and "geheim" not in err


def test_given_sagas_that_cannot_be_read_when_needed_then_it_ends_with_5(shop):
    code, text = shop.ctl("saga", "retry", uuid7(), "--sagas", "/nowhere")
    assert code == 5 and "/nowhere" in text


def test_given_no_server_when_run_then_it_ends_with_3_and_no_secret():
    nowhere = "host=127.0.0.1 port=1 dbname=x user=x password=geheim connect_timeout=2"
    code, _out, err = run("projection", "status", "--json", COMANDA_POSTGRES=nowhere)
    assert code == 3
    assert json.loads(err)["exit"] == 3
    assert "geheim" not in err
    code, _out, err = run("dlq", "list", COMANDA_AMQP="amqp://guest:geheim@127.0.0.1:1/")
    assert code == 3 and "geheim" not in err


def test_given_a_secret_in_a_file_when_run_then_it_is_read(bare, tmp_path):
    (tmp_path / "conninfo").write_text(bare.database.conninfo + "\n")
    environment = {"COMANDA_POSTGRES_FILE": str(tmp_path / "conninfo"), "COMANDA_POSTGRES": ""}
    assert run("projection", "status", **environment)[0] == 0
    (tmp_path / "conninfo").write_text(bare.database.conninfo + "\r\nwhat follows")
    assert run("projection", "status", **environment)[0] == 0


# --- products and stock

def test_given_products_when_loaded_twice_then_the_second_changes_nothing(bare, tmp_path):
    products = lines_of(tmp_path / "p", *({"sku": f"P-{n}", "name": "Cup",
                                           "price": {"amount": n, "currency": "BRL"}}
                                          for n in range(1, 601)))
    assert bare.ctl_json("product", "load", products) == (
        0, {"lines": 600, "loaded": 600, "unchanged": 0, "already": 0})
    assert bare.ctl_json("product", "load", products) == (
        0, {"lines": 600, "loaded": 0, "unchanged": 600, "already": 0})
    listed = bare.database.rows("select count(*) from comanda.events where category = 'product'")
    assert listed[0][0] == 600


def test_given_another_name_when_a_product_is_loaded_then_the_line_is_refused(bare, tmp_path):
    cup = {"sku": "N-1", "name": "Cup", "price": {"amount": 1, "currency": "BRL"}}
    assert bare.ctl("product", "load", lines_of(tmp_path / "a", cup))[0] == 0
    code, text = bare.ctl("product", "load", lines_of(tmp_path / "b", {**cup, "name": "Pot"}))
    assert code == 4 and "line 1" in text and "reprice" in text


def product(shop, sku):
    """What the log says of a product, from its newest event back."""
    return shop.database.rows("select type, data->'price'->>'amount' from comanda.events"
                              " where category = 'product' and stream_id = (select stream_id"
                              " from comanda.events where category = 'product' and version = 1"
                              " and data->>'sku' = %s) order by version desc", sku)


def test_given_listed_products_when_repriced_and_retired_then_the_log_says_so(bare, tmp_path):
    cup = {"sku": "R-1", "name": "Cup", "price": {"amount": 100, "currency": "BRL"}}
    assert bare.ctl("product", "load", lines_of(tmp_path / "a", cup))[0] == 0
    price = {"price": {"currency": "BRL", "amount": 250}, "sku": "R-1"}
    prices = lines_of(tmp_path / "b", price)
    assert bare.ctl_json("product", "reprice", prices) == (
        0, {"lines": 1, "loaded": 1, "unchanged": 0, "already": 0})
    assert bare.ctl_json("product", "reprice", prices)[1]["unchanged"] == 1
    assert product(bare, "R-1")[0] == ("ProductRepriced", "250")
    gone = lines_of(tmp_path / "c", {"sku": "R-1"})
    assert bare.ctl_json("product", "retire", gone)[1]["loaded"] == 1
    assert product(bare, "R-1")[0][0] == "ProductRetired"
    code, text = bare.ctl("product", "reprice", prices)
    assert code == 4 and "list it again" in text


@pytest.mark.parametrize("verb, line, said", [
    ("reprice", {"sku": "R-9", "price": {"amount": 1, "currency": "BRL"}}, "line 1"),
    ("reprice", {"price": {"amount": 1, "currency": "BRL"}}, "/sku is required"),
    ("reprice", {"sku": "R-9", "price": {"amount": 0, "currency": "BRL"}}, "/price/amount"),
    ("retire", {"sku": 7}, "/sku is required"),
    ("retire", {"sku": "R-9"}, "line 1")])
def test_given_a_line_that_changes_no_product_then_it_is_named(bare, tmp_path, verb, line, said):
    code, text = bare.ctl("product", verb, lines_of(tmp_path / "p", line))
    assert code == 4 and said in text


def test_given_stock_when_the_same_file_is_loaded_again_then_it_counts_once(bare, tmp_path):
    receipts = [{"sku": "S-1", "quantity": 10}, {"sku": "S-2", "quantity": 5},
                {"sku": "S-1", "quantity": 7}]
    first = lines_of(tmp_path / "first", *receipts)
    for _time in range(3):
        assert bare.ctl("stock", "load", first)[0] == 0
    assert (on_hand(bare, "S-1"), on_hand(bare, "S-2")) == (17, 5)
    renamed = lines_of(tmp_path / "renamed", *receipts)
    assert bare.ctl_json("stock", "load", renamed)[1]["already"] == 3
    other = lines_of(tmp_path / "other", receipts[0])  # the same first line, another delivery
    assert bare.ctl("stock", "load", other)[0] == 0
    assert on_hand(bare, "S-1") == 27


def test_given_a_load_cut_short_when_run_again_then_the_rest_follows_and_nothing_counts_twice(
        bare, tmp_path):
    stock = lines_of(tmp_path / "s", *({"sku": f"C-{n}", "quantity": 3} for n in range(2000)))
    environment = dict(os.environ, COMANDA_POSTGRES=bare.database.conninfo)
    first = subprocess.Popen([BUILD / "bin/comandactl", "stock", "load", stock], env=environment,
                             stdout=subprocess.DEVNULL)
    until(lambda: on_hand(bare, "C-0") or first.poll() is not None, "it has begun")
    first.send_signal(signal.SIGKILL)
    first.wait(60)
    assert bare.ctl("stock", "load", stock)[0] == 0
    counted = bare.database.rows(
        "select count(*), count(distinct stream_id) from comanda.events where data->>'sku' like 'C-%%'"
        " and type = 'StockReceived'")[0]
    assert counted == (2000, 2000)


def test_given_two_loads_of_one_file_at_once_when_both_end_then_it_counts_once(bare, tmp_path):
    stock = lines_of(tmp_path / "s", *({"sku": f"T-{n % 50}", "quantity": 2} for n in range(400)))
    environment = dict(os.environ, COMANDA_POSTGRES=bare.database.conninfo)
    loads = [subprocess.Popen([BUILD / "bin/comandactl", "stock", "load", stock], env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    outs = [load.communicate(timeout=60)[0] for load in loads]
    assert [load.returncode for load in loads] == [0, 0], outs
    assert sum(on_hand(bare, f"T-{n}") for n in range(50)) == 800


def test_given_bad_lines_when_loaded_then_each_is_named_and_nothing_is_loaded(bare, tmp_path):
    bad = tmp_path / "bad"
    bad.write_text('{"sku":"B-1","quantity":5}\n\n{"sku":"B-2","quantity":0}\nnot json\n'
                   '{"sku":"B-3"}\n{"sku":"B-4","quantity":1,"colour":"red"}\n[1]\n'
                   '{"sku":"B-5","quantity":1,"quantity":2}\n')
    code, text = bare.ctl("stock", "load", bad)
    assert code == 4
    for number in (3, 4, 5, 6, 7, 8):
        assert re.search(rf"line {number}: \S", text), text
    assert "line 1:" not in text and "nothing was loaded" in text
    assert on_hand(bare, "B-1") == 0


def test_given_no_file_when_loaded_then_it_ends_with_5(tmp_path):
    code, _out, err = run("stock", "load", tmp_path / "none")
    assert code == 5 and "none" in err


# --- tokens

def mint(tmp_path, *options, key=KEY):
    (tmp_path / "key").write_text(key)
    return run("token", "mint", *options, COMANDA_JWT_KEY_FILE=str(tmp_path / "key"))


def test_given_a_key_when_a_token_is_minted_then_others_can_verify_it(tmp_path):
    code, out, _err = mint(tmp_path, "--subject", "ana", "--scope", "orders:write orders:read",
                           "--ttl", "1h", key=KEY + "\n")
    assert code == 0
    claims = jwt.decode(out.strip(), KEY, algorithms=["HS256"])
    assert claims["sub"] == "ana" and claims["scope"] == "orders:write orders:read"
    assert 3590 <= claims["exp"] - time.time() <= 3600
    code, out, _err = mint(tmp_path, "--subject", "ana", "--json")
    document = json.loads(out)
    assert document["subject"] == "ana"
    assert jwt.decode(document["token"], KEY, algorithms=["HS256"])["sub"] == "ana"


def test_given_expired_when_a_token_is_minted_then_it_has_ended(tmp_path):
    out = mint(tmp_path, "--subject", "ana", "--expired")[1]
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(out.strip(), KEY, algorithms=["HS256"])


@pytest.mark.parametrize("options", [(), ("--subject", ""), ("--subject", "a", "--ttl", "0"),
                                     ("--subject", "a", "--ttl", "1y"),
                                     ("--subject", "a", "--ttl", "-1h"), ("--subject", "a\nb"),
                                     ("--subject", "a", "--scope", "a\nb")])
def test_given_a_wrong_wish_when_a_token_is_minted_then_it_is_refused(tmp_path, options):
    assert mint(tmp_path, *options)[0] == 2


def test_given_a_short_key_when_a_token_is_minted_then_it_is_refused(tmp_path):
    code, out, err = mint(tmp_path, "--subject", "ana", key="short")
    assert code == 4 and out == "" and "32" in err


# --- events

def test_given_an_order_when_shown_then_its_rows_are_there(shop):
    order = shop.place()
    code, rows = shop.ctl_json("event", "show", order)
    assert code == 0
    assert [(row["version"], row["kind"], row["type"]) for row in rows] == [
        (1, "event", "OrderPlaced")]
    assert rows[0]["data"] == placed() and rows[0]["meta"]["correlation_id"] == "c-1"
    datetime.datetime.fromisoformat(rows[0]["recorded_at"].replace("Z", "+00:00"))
    code, text = shop.ctl("event", "show", str(order).upper())
    assert code == 0 and "OrderPlaced" in text
    assert shop.ctl("event", "show", uuid7())[0] == 1


def test_given_the_log_when_followed_then_new_rows_come_one_a_line(shop):
    environment = dict(os.environ, COMANDA_POSTGRES=shop.database.conninfo)
    tail = subprocess.Popen([BUILD / "bin/comandactl", "event", "tail", "--rows", "0", "--follow",
                             "--category", "order", "--json"], env=environment, text=True,
                            stdout=subprocess.PIPE)
    orders, seen = [], threading.Event()

    def place_until_seen():  # it may begin behind the first ones
        while not seen.wait(0.5):
            orders.append(str(shop.place()))
    placing = threading.Thread(target=place_until_seen, daemon=True)
    placing.start()
    line = json.loads(tail.stdout.readline())
    seen.set()
    placing.join()
    assert line["stream"] in orders and line["type"] == "OrderPlaced"
    tail.send_signal(signal.SIGINT)
    assert tail.wait(60) == 0


def test_given_the_log_when_its_tail_is_asked_for_then_the_last_rows_come_in_order(bare, tmp_path):
    assert bare.ctl("stock", "load", lines_of(tmp_path / "tail", *(
        {"sku": "TAIL-1", "quantity": n} for n in (1, 2, 3))))[0] == 0

    def quantities():
        code, out = bare.ctl("event", "tail", "--rows", "2", "--json")
        assert code == 0
        return [json.loads(line)["data"].get("quantity") for line in out.splitlines()]
    until(lambda: quantities() == [2, 3], "the last two, once they are settled")


# --- sagas

def waiting_saga(shop):
    """An order whose saga has asked for the payment; nobody answers."""
    order = shop.place()
    until(lambda: shop.commands(order), "the saga has begun")
    return order


def test_given_a_saga_when_listed_and_shown_then_it_says_where_it_stands(shop):
    order = waiting_saga(shop)
    saga = str(saga_of(order))
    code, listed = shop.ctl_json("saga", "list", "--state", "running")
    assert code == 0
    mine = [row for row in listed if row["saga"] == saga]
    assert mine and mine[0]["subject"] == str(order) and mine[0]["name"] == "order_fulfilment"
    assert shop.ctl_json("saga", "list", "--state", "compensated")[0] == 0
    for one in (order, saga):
        code, text = shop.ctl("saga", "show", one)
        assert code == 0
        assert "authorize" in text and "running" in text and "SagaStarted" in text
    assert shop.ctl("saga", "show", uuid7())[0] == 1


def test_given_a_running_saga_when_aborted_then_it_undoes_and_the_reason_is_known(shop):
    order = waiting_saga(shop)
    code, text = shop.ctl("saga", "abort", order)
    assert code == 0, text
    assert shop.commands(order)[-1][:2] == ("void", "compensate")
    code, text = shop.ctl("saga", "show", order)
    assert "aborted" in text


def test_given_a_saga_that_is_not_parked_when_retried_then_it_is_refused_with_the_reason(shop):
    order = waiting_saga(shop)
    before = shop.commands(order)
    code, text = shop.ctl("saga", "retry", order)
    assert code in (1, 4) and text
    assert shop.commands(order) == before


# --- dead letters

def letter_of(side, stream):
    row = side.database.rows(
        "select event_id::text, type, data::text from comanda.events where stream_id = %s",
        str(stream))[0]
    return row[0], json.dumps({
        "specversion": "1.0", "id": row[0], "source": "/comanda/main/order", "type": row[1],
        "subject": str(stream), "time": "2026-11-24T06:52:25.123Z",
        "datacontenttype": "application/json", "sequence": "1", "tenant": "main",
        "category": "order", "kind": "event", "schemaversion": 1, "correlationid": "c-1",
        "data": json.loads(row[2])})


def test_given_dead_letters_when_listed_and_redriven_then_their_consumer_has_them(shop):
    assert shop.ctl("dlq", "list")[0] == 0
    orders = [shop.place() for _ in range(3)]
    for order in orders:
        shop.reaches(order, 1)
    shop.database.rows("delete from comanda_read.documents where key = any(%s)",
                       [str(order) for order in orders])
    for order in orders:
        message_id, body = letter_of(shop, order)
        shop.broker.channel.basic_publish("", "comanda.projector.dead", body.encode(),
                                          pika.BasicProperties(message_id=message_id, delivery_mode=2,
                                                               content_type="application/cloudevents+json"))
    until(lambda: shop.broker.ready("comanda.projector.dead") == 3, "the letters are there")

    code, queues = shop.ctl_json("dlq", "list")
    assert code == 1
    assert {"queue": "comanda.projector", "dead": 3} in queues
    code, letters = shop.ctl_json("dlq", "list", "projector")
    assert code == 1
    assert sorted(letter["subject"] for letter in letters) == sorted(map(str, orders))
    assert letters[0]["type"] == "OrderPlaced" and letters[0]["correlation_id"] == "c-1"
    until(lambda: shop.broker.ready("comanda.projector.dead") == 3, "listing leaves them there")

    assert shop.ctl_json("dlq", "redrive", "comanda.projector", "--limit", "1") == (
        0, {"queue": "comanda.projector", "redriven": 1})
    assert shop.ctl_json("dlq", "redrive", "projector")[1]["redriven"] == 2
    assert shop.ctl_json("dlq", "redrive", "projector")[1]["redriven"] == 0
    until(lambda: all(shop.document(order) for order in orders), "the documents are back")
    assert shop.ctl("dlq", "list")[0] == 0


def test_given_an_unknown_queue_when_redriven_then_it_says_so(shop):
    assert shop.ctl("dlq", "redrive", "kitchen")[0] == 2


# --- projection, doctor

def test_given_documents_when_counted_then_each_collection_has_its_number(shop):
    def caught_up():
        code, rows = shop.ctl_json("projection", "status")
        assert code == 0
        assert [row["collection"] for row in rows] == ["orders", "products"]
        return all(row["behind"] == row["behind_s"] == 0 for row in rows)
    until(caught_up, "nothing is behind")


def test_given_no_projector_when_counted_then_what_is_behind_is_told(bare, tmp_path):
    before = {row["collection"]: row for row in bare.ctl_json("projection", "status")[1]}
    cups = lines_of(tmp_path / "p", *({"sku": f"B-{n}", "name": "Cup", "price": {
        "amount": 1, "currency": "BRL"}} for n in range(7)))
    assert bare.ctl("product", "load", cups)[0] == 0
    after = {row["collection"]: row for row in bare.ctl_json("projection", "status")[1]}
    assert after["products"]["behind"] == before["products"]["behind"] + 7
    assert after["orders"]["behind"] == before["orders"]["behind"]

    def rebuilt():
        """A rebuild goes up to the log's horizon, which other tests' transactions hold back."""
        assert bare.ctl("projection", "rebuild", "products")[0] == 0
        rows = {row["collection"]: row for row in bare.ctl_json("projection", "status")[1]}
        return (rows["products"]["behind"], rows["products"]["behind_s"]) == (0, 0)

    until(rebuilt, "nothing is behind after a rebuild")


def findings(text):
    return {row["check"]: row for row in text}


def test_given_nothing_runs_when_the_doctor_looks_then_it_says_what_to_do(bare):
    code, rows = bare.ctl_json("doctor")
    found = findings(rows)
    assert code == 1
    assert found["postgres"]["status"] == found["schema"]["status"] == "ok"
    assert found["upkeep"]["status"] == "ok"
    assert re.match(r"version \d+ serves programs of \d+ and later", found["schema"]["detail"])
    assert found["partitions"]["status"] == "ok" and found["redis"]["status"] == "ok"
    assert found["redis memory"]["status"] == "ok"
    assert found["topology"]["status"] == found["relay"]["status"] == "fault"
    assert "comanda-relay" in found["topology"]["advice"]
    assert all(row["advice"] for row in rows if row["status"] != "ok")


def test_given_an_order_without_a_saga_when_the_doctor_looks_then_it_is_a_fault(bare):
    born = int((time.time() - 3600) * 1000)
    order = uuid7(born)
    bare.database.rows("insert into comanda.events (recorded_at, epoch, tenant, category, stream_id,"
                       " version, event_id, kind, type, schema_version, data, meta) select now() -"
                       " interval '1 hour', epoch, 'main', 'order', %s, 1, %s, 'event',"
                       " 'OrderPlaced', 1, %s, '{}' from comanda.log", str(order), str(uuid7(born)),
                       json.dumps(placed()))
    found = findings(bare.ctl_json("doctor")[1])
    assert found["sagas missing"]["status"] == "fault"
    assert str(order) in found["sagas missing"]["detail"]


def test_given_a_cache_without_a_limit_when_the_doctor_looks_then_it_warns(bare):
    cache = bare.cache.client
    kept = {name: cache.config_get(name)[name] for name in ("maxmemory", "maxmemory-policy")}
    try:
        for name, value in (("maxmemory", "0"), ("maxmemory-policy", "volatile-lru")):
            cache.config_set(name, value)
            found = findings(bare.ctl_json("doctor")[1])["redis memory"]
            assert found["status"] == "warning" and "allkeys-lru" in found["advice"]
            cache.config_set(name, kept[name])
    finally:
        for name, value in kept.items():
            cache.config_set(name, value)


def test_given_servers_away_when_the_doctor_looks_then_each_is_named_and_no_secret(bare):
    code, out, err = run("doctor", "--json", COMANDA_REDIS="127.0.0.1:1",
                         COMANDA_POSTGRES="host=127.0.0.1 port=1 user=x password=geheim",
                         COMANDA_AMQP="amqp://x:geheim@127.0.0.1:1/")
    found = findings(json.loads(out))
    assert code == 1
    assert found["postgres"]["status"] == found["rabbitmq"]["status"] == "fault"
    assert found["redis"]["status"] == "warning"
    assert "geheim" not in out + err


def test_given_the_whole_house_when_the_doctor_looks_then_all_is_well(shop):
    shop.start("payment", "inventory", "shipping")
    found = {}

    def all_is_well():
        found["code"], rows = shop.ctl_json("doctor")
        found["all well but"] = [row for row in rows if row["status"] != "ok"]
        return found == {"code": 0, "all well but": []}
    until(all_is_well, found)
    for name in ("payment", "inventory", "shipping"):
        shop.end(name)
