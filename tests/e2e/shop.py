# SPDX-License-Identifier: Apache-2.0
"""A customer of the shop: speaks the published contract (docs/http.md) and nothing else."""
import re
import secrets
import time
import uuid

import requests

# What must come to pass comes within this, however busy the machine is.
PATIENCE_S = 60
AGAIN_S = 0.2
ENDED = ("confirmed", "rejected", "cancelled")
MEMBERS = ["id", "status", "version", "customer", "currency", "lines", "total", "ship_to",
           "created_at", "updated_at"]


def read_env(path):
    """The shell assignments of the demo's env file, as a dict."""
    values = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            match = re.match(r"(?:export\s+)?([A-Z_0-9]+)=(.*)$", line.strip())
            if match:
                values[match.group(1)] = match.group(2).strip("'\"")
    return values


def uuid7(age_s=0.0):
    """A UUID version 7 of now less age_s."""
    millis = int((time.time() - age_s) * 1000)
    number = millis << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=number))


def an_order(sku="SKU-1", quantity=2, token="tok_ok", **changes):
    """The body of a good order; changes replace members, None takes one away."""
    body = {
        "currency": "BRL",
        "lines": [{"sku": sku, "quantity": quantity}],
        "payment_token": token,
        "ship_to": {"name": "Ana Souza", "street": "Rua das Laranjeiras 100",
                    "city": "Rio de Janeiro", "postal_code": "22240-003", "country": "BR"},
    }
    body.update(changes)
    return {name: value for name, value in body.items() if value is not None}


def until(what, message, seconds=PATIENCE_S):
    """Gives what it became."""
    deadline = time.monotonic() + seconds
    while not (result := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {message}"
        time.sleep(0.02)
    return result


def is_to_be_asked_again(answer, harmless):
    """As the contract tells clients: 503 was not begun, 504 is unknown, a twin is at work."""
    if answer.status_code == 409:
        return answer.json()["type"] == "urn:comanda:problem:in-flight"
    return answer.status_code == 503 or answer.status_code == 504 and harmless


def assert_first_answer(answer):
    """Not a replay; but who had to ask again may meet what the first request has done."""
    assert answer.tries > 1 or "Idempotency-Replayed" not in answer.headers


class Customer:
    """One principal. Every answer is checked for what every answer must have."""

    def __init__(self, url, token=None):
        self.url = url
        self.token = token
        self.session = requests.Session()
        self.session.trust_env = False

    def request(self, method, path, headers=None, token=None, patience=PATIENCE_S, **options):
        """Asks again, the same with the same key, for as long as the patience lasts."""
        sent = {"Authorization": f"Bearer {token or self.token}"} if token or self.token else {}
        sent.update(headers or {})
        sent = {name: value for name, value in sent.items() if value is not None}
        harmless = method in ("GET", "HEAD") or "Idempotency-Key" in sent
        deadline = time.monotonic() + patience
        tries = 1
        while True:
            answer = self.request_once(method, path, sent, options)
            answer.tries = tries
            if not is_to_be_asked_again(answer, harmless) or time.monotonic() >= deadline:
                return answer
            tries += 1
            time.sleep(AGAIN_S)

    def request_once(self, method, path, sent, options):
        answer = self.session.request(method, self.url + path, headers=sent, timeout=30,
                                      allow_redirects=False, **options)
        assert answer.headers.get("Comanda-Correlation-Id"), f"{method} {path}: no correlation id"
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
                            answer.headers.get("traceparent", "")), f"{method} {path}: traceparent"
        return answer

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def command(self, path, body, key=None, headers=None, **options):
        sent = {"Idempotency-Key": key or uuid7()}
        sent.update(headers or {})
        return self.request("POST", path, headers=sent, json=body, **options)

    def place(self, body=None, **options):
        return self.command("/v1/orders", body or an_order(), **options)

    def cancel(self, order_id, reason="changed my mind", **options):
        return self.command(f"/v1/orders/{order_id}/cancellation", {"reason": reason}, **options)

    def order(self, order_id):
        answer = self.get(f"/v1/orders/{order_id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def placed(self, body=None, **options):
        answer = self.place(body, **options)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def wait(self, order_id, seconds=PATIENCE_S, statuses=ENDED):
        """Follows the order until it has one of the statuses."""
        deadline = time.monotonic() + seconds
        while True:
            order = self.order(order_id)
            if order["status"] in statuses:
                return order
            assert time.monotonic() < deadline, f"{order_id} is still {order['status']}"
            time.sleep(0.05)


def assert_problem(answer, status, slug, pointers=None):
    """RFC 9457 as the contract has it."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text[:500]}"
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"urn:comanda:problem:{slug}", problem
    assert problem["status"] == status
    assert problem["title"] and problem["detail"]
    assert problem["correlation_id"] == answer.headers["Comanda-Correlation-Id"]
    assert set(problem) <= {"type", "title", "status", "detail", "correlation_id", "errors"}
    for error in problem.get("errors", []):
        assert set(error) == {"pointer", "detail"} and error["detail"], error
    if pointers is not None:
        assert sorted(e["pointer"] for e in problem["errors"]) == sorted(pointers), problem
    return problem


def assert_document(order):
    """The order document, its members and their types."""
    names = MEMBERS + (["rejection"] if order["status"] == "rejected" else [])
    assert sorted(order) == sorted(names), order
    assert uuid.UUID(order["id"]).version == 7 and order["id"] == order["id"].lower()
    assert order["status"] in ("placed", "cancelling") + ENDED
    assert type(order["version"]) is int and order["version"] >= 1
    assert sorted(order["total"]) == ["amount", "currency"]
    total = 0
    for line in order["lines"]:
        assert sorted(line) == ["quantity", "sku", "total", "unit_price"], line
        assert line["total"]["amount"] == line["quantity"] * line["unit_price"]["amount"]
        assert line["total"]["currency"] == order["currency"]
        total += line["total"]["amount"]
    assert order["total"] == {"amount": total, "currency": order["currency"]}
    assert sorted(order["ship_to"]) == ["city", "country", "name", "postal_code", "street"]
    for moment in (order["created_at"], order["updated_at"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment), moment
    if "rejection" in order:
        assert sorted(order["rejection"]) == ["code", "detail"]


