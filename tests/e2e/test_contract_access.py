# SPDX-License-Identifier: Apache-2.0
"""docs/http.md, Tokens and headers: who is let in, and what every answer carries."""
import base64
import hashlib
import hmac
import json
import re
import socket
import time
from urllib.parse import urlparse

import pytest

from shop import AGAIN_S, PATIENCE_S, Customer, an_order, assert_problem, uuid7


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(header, claims, key=b"not our key, but long enough for it", signature=None):
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    mac = hmac.new(key, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{b64(mac) if signature is None else signature}"


CLAIMS = {"sub": "ana", "exp": int(time.time()) + 3600, "scope": "orders:write orders:read"}
HS256 = {"alg": "HS256", "typ": "JWT"}

BAD_TOKENS = {
    "foreign key": forged(HS256, CLAIMS),
    "alg none": forged({"alg": "none"}, CLAIMS, signature=""),
    "alg nOnE": forged({"alg": "nOnE"}, CLAIMS, signature=""),
    "alg RS256": forged({"alg": "RS256"}, CLAIMS),
    "no parts": "nonsense",
    "two dots": "..",
    "five parts": "a.b.c.d.e",
    "not base64url": "a+b.c/d.e=f",
    "huge": "x" * 7000,
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_bad_token_is_401(shop_url, name):
    answer = Customer(shop_url, BAD_TOKENS[name]).get("/v1/orders")
    assert_problem(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_no_token_is_401_without_an_error_code(nobody):
    for answer in (nobody.get("/v1/orders"), nobody.get(f"/v1/orders/{uuid7()}"), nobody.place(),
                   nobody.cancel(uuid7())):
        assert_problem(answer, 401, "unauthorized")
        assert "error=" not in answer.headers["WWW-Authenticate"]


def test_an_expired_token_is_401(shop_url, mint):
    token = mint("ana", "orders:read", expired=True)
    assert_problem(Customer(shop_url, token).get("/v1/orders"), 401, "unauthorized")


@pytest.mark.parametrize("header", ["{token} x", "{token},{token}", "Basic {token}", "{token}",
                                    "Bearer", "Bearer  ", "Token {token}"])
def test_anything_but_one_token_after_bearer_is_401(nobody, ana, header):
    text = header.format(token=ana.token)
    if text.startswith(ana.token) and header != "{token}":
        text = "Bearer " + text
    answer = nobody.get("/v1/orders", headers={"Authorization": text})
    assert_problem(answer, 401, "unauthorized")


def test_the_scheme_is_not_case_sensitive(nobody, ana):
    answer = nobody.get("/v1/orders", headers={"Authorization": f"bEARER {ana.token}"})
    assert answer.status_code == 200


def test_a_changed_token_is_401(shop_url, ana):
    header, payload, signature = ana.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    claims["sub"] = "mallory"
    answer = Customer(shop_url, f"{header}.{b64(json.dumps(claims).encode())}.{signature}").get(
        "/v1/orders")
    assert_problem(answer, 401, "unauthorized")


# ---- The matrix: scope, route, owner, status ------------------------------------------------------

MATRIX = [
    # scopes                      own GET  list  place  cancel own  foreign GET
    ("orders:read orders:write", 200, 200, 201, 202, 404),
    ("orders:read", 200, 200, 403, 403, 404),
    ("orders:write", 403, 403, 201, 202, 403),
    ("orders:read orders:read:any", 200, 200, 403, 403, 200),
    ("", 403, 403, 403, 403, 403),
    ("orders:readx xorders:write", 403, 403, 403, 403, 403),
]


@pytest.mark.parametrize("scopes,own,listed,place,cancel,foreign", MATRIX)
def test_scopes_and_owners(shop_url, ana, bruno, mint, scopes, own, listed, place, cancel, foreign):
    mine = ana.placed(an_order(token="tok_silent"))
    theirs = bruno.placed()
    customer = Customer(shop_url, mint(mine["customer"], scopes))
    assert customer.get(f"/v1/orders/{mine['id']}").status_code == own
    assert customer.get("/v1/orders").status_code == listed
    assert customer.place().status_code == place
    assert customer.get(f"/v1/orders/{theirs['id']}").status_code == foreign
    answer = customer.cancel(mine["id"])
    assert answer.status_code == cancel
    if cancel == 403:
        assert_problem(answer, 403, "insufficient-scope")
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
    assert customer.cancel(theirs["id"]).status_code in (404, 403)


# ---- Headers -------------------------------------------------------------------------------------

def test_a_safe_correlation_id_comes_back(ana):
    answer = ana.get("/v1/orders", headers={"Comanda-Correlation-Id": "my-id_1.2"})
    assert answer.headers["Comanda-Correlation-Id"] == "my-id_1.2"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 65, "a\"b", "<x>"])
def test_an_unsafe_correlation_id_is_replaced(ana, sent):
    answer = ana.get("/v1/orders", headers={"Comanda-Correlation-Id": sent})
    assert answer.headers["Comanda-Correlation-Id"] not in ("", sent)


def test_the_trace_goes_on(ana):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = ana.get("/v1/orders", headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert answer.headers["traceparent"].split("-")[1] == trace
    assert answer.headers["traceparent"].split("-")[2] != "00f067aa0ba902b7"


# ---- Bytes that no client library sends ----------------------------------------------------------

SILENCE_S = 1


def is_whole(received):
    """Whether an answer with a Content-Length has come to its end."""
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"\r\nContent-Length: (\d+)", head, re.IGNORECASE)
    return bool(length) and len(body) >= int(length[1])


def exchange(url, data):
    """Sends raw bytes and gives what comes back until the server closes, or is silent after an
    answer."""
    address = urlparse(url)
    with socket.create_connection((address.hostname, address.port), PATIENCE_S) as connection:
        connection.sendall(data)
        received = b""
        try:
            while chunk := connection.recv(65536):
                received += chunk
                if is_whole(received):
                    connection.settimeout(SILENCE_S)
        except socket.timeout:
            assert is_whole(received), received
        return received


def exchange_once_begun(url, data):
    """Asks again while the answer is 503: not begun."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        answer = exchange(url, data)
        if not answer.startswith(b"HTTP/1.1 503 ") or time.monotonic() >= deadline:
            return answer
        time.sleep(AGAIN_S)


def test_an_early_refusal_does_not_let_the_body_be_read_as_a_request(shop_url):
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    data = (b"POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(smuggled)) + smuggled
    assert exchange(shop_url, data).count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("request_line", [
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    b"POST /v1/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n"])
def test_broken_http_is_answered_with_400_as_a_problem(shop_url, request_line):
    answer = exchange_once_begun(shop_url, request_line)
    assert b" 400 " in answer.split(b"\r\n")[0] or b" 505 " in answer.split(b"\r\n")[0]
    assert b"application/problem+json" in answer


def test_a_uri_that_is_too_long_is_414(nobody):
    assert_problem(nobody.get("/v1/orders?after=" + "x" * 20000), 414, "uri-too-long")


def test_two_idempotency_keys_are_400(shop_url, ana):
    body = json.dumps(an_order()).encode()
    data = (f"POST /v1/orders HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ana.token}\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: {uuid7()}\r\n"
            f"Idempotency-Key: {uuid7()}\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body
    answer = exchange_once_begun(shop_url, data)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"idempotency-key-invalid" in answer


class Chunks:
    """A body without a length, which can be sent again."""

    def __init__(self, *chunks):
        self.chunks = chunks

    def __iter__(self):
        return iter(self.chunks)


def test_a_chunked_body_is_taken(ana):
    body = json.dumps(an_order()).encode()
    answer = ana.request("POST", "/v1/orders", data=Chunks(body[:50], body[50:]), headers={
        "Idempotency-Key": uuid7(), "Content-Type": "application/json"})
    assert answer.status_code == 201


def test_a_customer_who_leaves_changes_nothing(shop_url, ana):
    key, body = uuid7(), json.dumps(an_order()).encode()
    address = urlparse(shop_url)
    for _ in range(20):
        with socket.create_connection((address.hostname, address.port)) as connection:
            connection.sendall((f"POST /v1/orders HTTP/1.1\r\nHost: a\r\n"
                                f"Authorization: Bearer {ana.token}\r\nIdempotency-Key: {key}\r\n"
                                f"Content-Type: application/json\r\n"
                                f"Content-Length: {len(body)}\r\n\r\n").encode() + body)
    answer = ana.request("POST", "/v1/orders", data=body, headers={
        "Idempotency-Key": key, "Content-Type": "application/json"})
    again = ana.request("POST", "/v1/orders", data=body, headers={
        "Idempotency-Key": key, "Content-Type": "application/json"})
    assert answer.status_code == again.status_code == 201
    assert answer.json()["id"] == again.json()["id"]
