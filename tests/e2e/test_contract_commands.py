# SPDX-License-Identifier: Apache-2.0
"""docs/http.md, Commands: idempotency keys, conditions and what is refused."""
import json
import threading

import pytest

from shop import Customer, an_order, assert_first_answer, assert_problem, uuid7


# ---- Idempotency ---------------------------------------------------------------------------------

def test_the_same_key_and_body_give_the_first_answer_again(ana):
    key, body = uuid7(), an_order()
    first = ana.place(body, key=key)
    order = ana.wait(first.json()["id"])
    again = ana.place(body, key=key)
    assert again.status_code == 201 and again.json() == first.json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["ETag"] == '"1"' and order["version"] > 1
    assert again.headers["Location"] == first.headers["Location"]
    assert_first_answer(first)


def test_a_quoted_key_and_a_bare_one_are_one_key(ana):
    key, body = uuid7(), an_order()
    first = ana.place(body, key=f'"{key}"')
    again = ana.place(body, key=key)
    assert first.status_code == 201 and again.json()["id"] == first.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("key", ["a", "A-Z_0.9:x", "x" * 255])
def test_a_key_may_be_any_safe_text(ana, key):
    key = (key + uuid7())[-255:] if len(key) < 255 else (uuid7() + key)[:255]
    body = an_order()
    first, again = ana.place(body, key=key), ana.place(body, key=key)
    assert first.status_code == 201 and again.json()["id"] == first.json()["id"]


def test_the_same_key_with_another_body_is_422(ana):
    key = uuid7()
    first = ana.place(an_order(quantity=1), key=key)
    assert_problem(ana.place(an_order(quantity=2), key=key), 422, "idempotency-key-reused")
    assert_problem(ana.cancel(first.json()["id"], key=key), 422, "idempotency-key-reused")


def test_two_customers_with_the_same_key_do_not_meet(ana, bruno):
    key, body = uuid7(), an_order()
    first, second = ana.place(body, key=key), bruno.place(body, key=key)
    assert first.status_code == second.status_code == 201
    assert first.json()["id"] != second.json()["id"]


@pytest.mark.parametrize("age_s", [8 * 24 * 3600, -10 * 60])
def test_a_key_out_of_its_time_is_refused_and_nothing_is_run(ana, age_s):
    assert_problem(ana.place(key=uuid7(age_s)), 400, "idempotency-key-expired")


@pytest.mark.parametrize("age_s", [6 * 24 * 3600, -4 * 60])
def test_a_key_within_its_time_is_taken(ana, age_s):
    assert ana.place(key=uuid7(age_s)).status_code == 201


@pytest.mark.parametrize("key", ["", '""', "a b", "é".encode("latin-1").decode("latin-1"), "x" * 256,
                                 '"open', 'open"', "a,b", "a;b", "../x", "a'b", '"a" "b"'])
def test_a_bad_key_is_400(ana, key):
    answer = ana.request("POST", "/v1/orders", json=an_order(),
                         headers={"Idempotency-Key": key.encode("latin-1")})
    assert_problem(answer, 400, "idempotency-key-invalid")


def test_no_key_is_400(ana):
    answer = ana.request("POST", "/v1/orders", json=an_order())
    assert_problem(answer, 400, "idempotency-key-missing")


def test_a_refusal_frees_the_key(ana):
    key = uuid7()
    assert_problem(ana.place(an_order("SKU-NONE"), key=key), 422, "invalid")
    assert ana.place(an_order(), key=key).status_code == 201


def test_fifty_twins_at_once_make_one_order(shop_url, ana):
    key, body = uuid7(), an_order()
    answers = []
    barrier = threading.Barrier(50)

    def send():
        customer = Customer(shop_url, ana.token)
        barrier.wait()
        answers.append(customer.place(body, key=key))

    threads = [threading.Thread(target=send) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [201] * 50
    assert len({answer.json()["id"] for answer in answers}) == 1
    first = [answer for answer in answers if "Idempotency-Replayed" not in answer.headers]
    # None when the answer of the one that made it was 504.
    assert len(first) == 1 or not first and any(answer.tries > 1 for answer in answers)


def test_fifty_twins_with_other_bodies_make_one_order(shop_url, ana):
    key = uuid7()
    answers = []
    barrier = threading.Barrier(20)

    def send(quantity):
        customer = Customer(shop_url, ana.token)
        barrier.wait()
        answers.append(customer.place(an_order(quantity=quantity), key=key))

    threads = [threading.Thread(target=send, args=(quantity,)) for quantity in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status_code for answer in answers) == [201] + [422] * 19
    for answer in answers:
        if answer.status_code == 422:
            assert_problem(answer, 422, "idempotency-key-reused")


# ---- If-Match ------------------------------------------------------------------------------------

def test_if_match_lets_the_right_version_pass(ana):
    placed = ana.placed(an_order(token="tok_silent"))
    version = ana.order(placed["id"])["version"]
    answer = ana.cancel(placed["id"], headers={"If-Match": f'"{version}"'})
    assert answer.status_code == 202


@pytest.mark.parametrize("tag", ['"99"', 'W/"1"', '"x"', '"98", "99"'])
def test_if_match_refuses_another_version_and_tells_the_current_one(ana, tag):
    placed = ana.placed(an_order(token="tok_silent"))
    answer = ana.cancel(placed["id"], headers={"If-Match": tag})
    assert_problem(answer, 412, "precondition-failed")
    assert answer.headers["ETag"] == f'"{ana.order(placed["id"])["version"]}"'


def test_if_match_star_takes_any_version(ana):
    placed = ana.placed(an_order(token="tok_silent"))
    assert ana.cancel(placed["id"], headers={"If-Match": "*"}).status_code == 202


def test_a_known_key_wins_over_if_match(ana):
    placed = ana.placed(an_order(token="tok_silent"))
    key = uuid7()
    first = ana.cancel(placed["id"], key=key, headers={"If-Match": "*"})
    again = ana.cancel(placed["id"], key=key, headers={"If-Match": '"99"'})
    assert first.status_code == again.status_code == 202
    assert again.headers["Idempotency-Replayed"] == "true" and again.json() == first.json()


def test_412_comes_before_409(ana):
    order = ana.wait(ana.placed()["id"])
    answer = ana.cancel(order["id"], headers={"If-Match": '"99"'})
    assert_problem(answer, 412, "precondition-failed")


# ---- Bodies --------------------------------------------------------------------------------------

def raw(customer, body, content_type="application/json", **headers):
    sent = {"Idempotency-Key": uuid7(), "Content-Type": content_type, **headers}
    return customer.request("POST", "/v1/orders", headers=sent, data=body)


GOOD = json.dumps(an_order())


@pytest.mark.parametrize("body", [
    b"", b"   ", b"{", b"{}x", GOOD.encode() + b"x", GOOD.encode() + b"\0", b'{"a":1,"a":2}',
    GOOD.replace('"currency"', '"currency": "BRL", "currency"').encode(),
    b'{"a":"\xff"}', b'{"a":"\xc0\xaf"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\\ud800"}',
    b'{"a":"\\u0000"}', b'{"a":"\n"}', b"\xef\xbb\xbf{}", b"{'a':1}", b'{"a":01}', b'{"a":1.}',
    b'{"a":.5}', b'{"a":+1}', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":1e999}', b"[" * 33 + b"]" * 33,
    b"[" * 30000, b'{"a":9007199254740992}', b'{"a":tru}', b'{"a" 1}', b'{"a":1,}', b"[1,]",
    b"// x\n{}", b'{"a":"\\x41"}', b"nul"])
def test_what_is_no_strict_json_is_400(ana, body):
    assert_problem(raw(ana, body), 400, "malformed-json")


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"text"', b"true"])
def test_json_that_is_no_object_is_422(ana, body):
    assert_problem(raw(ana, body), 422, "invalid", [""])


@pytest.mark.parametrize("changes,pointers", [
    ({"currency": None}, ["/currency"]),
    ({"currency": "USD"}, ["/currency"]),
    ({"currency": "brl"}, ["/currency"]),
    ({"currency": "XXXX"}, ["/currency"]),
    ({"currency": 986}, ["/currency"]),
    ({"lines": None}, ["/lines"]),
    ({"lines": []}, ["/lines"]),
    ({"lines": {}}, ["/lines"]),
    ({"lines": ["SKU-1"]}, ["/lines/0"]),
    ({"lines": [{"sku": "SKU-1"}]}, ["/lines/0/quantity"]),
    ({"lines": [{"quantity": 1}]}, ["/lines/0/sku"]),
    ({"lines": [{"sku": "SKU-1", "quantity": 0}]}, ["/lines/0/quantity"]),
    ({"lines": [{"sku": "SKU-1", "quantity": -1}]}, ["/lines/0/quantity"]),
    ({"lines": [{"sku": "SKU-1", "quantity": 1001}]}, ["/lines/0/quantity"]),
    ({"lines": [{"sku": "SKU-1", "quantity": 1.5}]}, ["/lines/0/quantity"]),
    ({"lines": [{"sku": "SKU-1", "quantity": "2"}]}, ["/lines/0/quantity"]),
    ({"lines": [{"sku": "SKU-1", "quantity": True}]}, ["/lines/0/quantity"]),
    ({"lines": [{"sku": "SKU-1", "quantity": 2, "price": 1}]}, ["/lines/0/price"]),
    ({"lines": [{"sku": "SKU-NONE", "quantity": 1}]}, ["/lines/0/sku"]),
    ({"lines": [{"sku": "", "quantity": 1}]}, ["/lines/0/sku"]),
    ({"lines": [{"sku": "SKU-1", "quantity": 1}, {"sku": "SKU-1", "quantity": 2}]},
     ["/lines/1/sku"]),
    ({"lines": [{"sku": f"SKU-{n}", "quantity": 1} for n in range(1, 52)]}, ["/lines"]),
    ({"payment_token": None}, ["/payment_token"]),
    ({"payment_token": ""}, ["/payment_token"]),
    ({"payment_token": 5}, ["/payment_token"]),
    ({"ship_to": None}, ["/ship_to"]),
    ({"ship_to": "here"}, ["/ship_to"]),
    ({"total": {"amount": 1, "currency": "BRL"}}, ["/total"]),
    ({"Currency": "BRL"}, ["/Currency"]),
    ({"a/b~c": 1}, ["/a~1b~0c"])])
def test_a_refused_value_is_422_with_its_place(ana, changes, pointers):
    assert_problem(ana.place(an_order(**changes)), 422, "invalid", pointers)


@pytest.mark.parametrize("member,value", [
    ("country", "Brazil"), ("country", "br"), ("country", ""), ("country", None),
    ("postal_code", ""), ("postal_code", "x" * 100), ("postal_code", None), ("name", ""),
    ("street", None), ("city", 5), ("planet", "Earth")])
def test_a_refused_address_is_422_with_its_place(ana, member, value):
    address = dict(an_order()["ship_to"], **{member: value})
    address = {name: text for name, text in address.items() if text is not None}
    assert_problem(ana.place(an_order(ship_to=address)), 422, "invalid", [f"/ship_to/{member}"])


def test_all_faults_of_a_body_come_at_once_shape_and_catalogue_together(ana):
    body = an_order(colour="red", lines=[{"sku": "SKU-1", "quantity": 0},
                                         {"sku": "SKU-NONE", "quantity": 1}])
    del body["ship_to"]["city"]
    assert_problem(ana.place(body), 422, "invalid",
                   ["/colour", "/lines/0/quantity", "/lines/1/sku", "/ship_to/city"])


def test_fifty_lines_are_taken(ana):
    lines = [{"sku": f"SKU-{n}", "quantity": 1} for n in range(1, 51)]
    order = ana.placed(an_order(lines=lines))
    assert len(order["lines"]) == 50
    assert ana.wait(order["id"])["status"] == "confirmed"


def test_a_body_over_64_kib_is_413(ana):
    assert_problem(raw(ana, b'{"a":"' + b"x" * 65536 + b'"}'), 413, "content-too-large")


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/jsonx",
                                          "multipart/form-data", ""])
def test_another_media_type_is_415(ana, content_type):
    assert_problem(raw(ana, GOOD, content_type), 415, "unsupported-media-type")


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8",
                                          "Application/JSON;charset=UTF-8"])
def test_json_with_its_charset_is_taken(ana, content_type):
    assert raw(ana, GOOD, content_type).status_code == 201


def test_a_content_encoding_is_415(ana):
    answer = raw(ana, GOOD, **{"Content-Encoding": "gzip"})
    assert_problem(answer, 415, "unsupported-media-type")
