# SPDX-License-Identifier: Apache-2.0
"""The demo's walk-through: what a customer does and sees, over HTTP and nothing else."""
import http.client
import json
import secrets
import subprocess
import time
import urllib.parse

FOLLOW_SECONDS = 60
AGAIN_SECONDS = 30
AGAIN_EVERY = 0.2
FOLLOW_EVERY = 0.1
ENDED = ("confirmed", "rejected", "cancelled")
RATE_TRIES_MAX = 2000
BURST = 100


class Unexpected(Exception):
    """The shop answered something else than the contract says."""


def uuid7():
    """The recommended Idempotency-Key: it begins with its time, which keeps the key table fast."""
    number = (int(time.time() * 1000) << 80 | 7 << 76 | secrets.randbits(12) << 64
              | 2 << 62 | secrets.randbits(62))
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def an_order(sku="SKU-1", quantity=2, token="tok_ok"):
    return {
        "currency": "BRL",
        "lines": [{"sku": sku, "quantity": quantity}],
        "payment_token": token,
        "ship_to": {"name": "Ana Souza", "street": "Rua das Laranjeiras 100",
                    "city": "Rio de Janeiro", "postal_code": "22240-003", "country": "BR"},
    }


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        text = response.read()
        self.body = json.loads(text) if text else {}

    def expect(self, *statuses):
        if self.status not in statuses:
            raise Unexpected(f"expected {statuses}, got {self.status}: {json.dumps(self.body)}")
        return self


    def is_to_be_asked_again(self):
        """As the contract tells clients: 503 was not begun, 504 is unknown, a twin is at work."""
        in_flight = self.status == 409 and self.body["type"].endswith(":in-flight")
        return in_flight or self.status in (503, 504)


class Piped:
    """Lets http.client read one of several answers that come on one connection."""

    def __init__(self, stream):
        self.stream = stream

    def makefile(self, _mode):
        return Unclosed(self.stream)


class Unclosed:
    def __init__(self, stream):
        self.stream = stream
        self.read, self.readline = stream.read, stream.readline
        self.readinto = stream.readinto

    def flush(self):
        pass

    def close(self):
        pass


def read_answer(stream):
    response = http.client.HTTPResponse(Piped(stream), method="POST")
    response.begin()
    return Answer(response)


class Customer:
    """One principal on one kept connection."""

    def __init__(self, url, token):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=30)
        self.token = token

    def request(self, method, path, body=None, key=None):
        """Asks again for a while, with the same key, where the contract tells to."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
            headers["Idempotency-Key"] = key or uuid7()
        text = body if isinstance(body, (str, type(None))) else json.dumps(body)
        deadline = time.monotonic() + AGAIN_SECONDS
        while True:
            self.connection.request(method, path, text, headers)
            answer = Answer(self.connection.getresponse())
            if not answer.is_to_be_asked_again() or time.monotonic() >= deadline:
                return answer
            # Whichever of them is run, the log has it under this id.
            headers["Comanda-Correlation-Id"] = answer.headers["Comanda-Correlation-Id"]
            time.sleep(AGAIN_EVERY)

    def place(self, order, key=None):
        return self.request("POST", "/v1/orders", order, key)

    def burst(self, count):
        """That many bad commands, sent as fast as it goes: pipelined, a hundred at a time."""
        for _ in range(count // BURST):
            self.connection.connect()
            request = (f"POST /v1/orders HTTP/1.1\r\nHost: {self.connection.host}\r\n"
                       f"Authorization: Bearer {self.token}\r\nContent-Type: application/json\r\n"
                       "Content-Length: 2\r\nIdempotency-Key: {key}\r\n\r\n{}")
            self.connection.sock.sendall("".join(
                request.replace("{key}", uuid7())
                for _ in range(BURST)).encode())
            stream = self.connection.sock.makefile("rb")
            for _ in range(BURST):
                yield read_answer(stream)

    def follow(self, location):
        """Asks until the order has ended; gives the document and the statuses on the way."""
        seen = []
        deadline = time.monotonic() + FOLLOW_SECONDS
        while time.monotonic() < deadline:
            document = self.request("GET", location).expect(200).body
            if document["status"] not in seen:
                seen.append(document["status"])
            if document["status"] in ENDED:
                return document, seen
            time.sleep(FOLLOW_EVERY)
        raise Unexpected(f"{location} has not ended after {FOLLOW_SECONDS} s: {' → '.join(seen)}")


class Walk:
    def __init__(self, env, rate, say=print):
        self.env = env
        self.rate = rate
        self.say = say
        self.ana = Customer(env["COMANDA_URL"], env["COMANDA_TOKEN"])

    def run(self):
        self.confirmed()
        self.short_of_stock()
        self.declined()
        self.cancelled()
        self.same_key_twice()
        self.bad_body()
        if self.rate:
            self.over_the_rate()

    def title(self, text):
        self.say(f"\n{text}")

    def line(self, text):
        self.say(f"  {text}")

    def placed(self, order):
        answer = self.ana.place(order).expect(201)
        self.line(f"POST /v1/orders → 201  Location: {answer.headers['Location']}  "
                  f"ETag: {answer.headers['ETag']}")
        return answer

    def followed(self, answer, wanted):
        document, seen = self.ana.follow(answer.headers["Location"])
        self.line(" → ".join(seen))
        if document["status"] != wanted:
            raise Unexpected(f"the order ended {document['status']}, not {wanted}")
        if "rejection" in document:
            self.line(f"rejection: {document['rejection']['code']} "
                      f"({document['rejection']['detail']})")
        return document

    def history(self, answer):
        """What the log holds of this request, all contexts together."""
        correlation = answer.headers["Comanda-Correlation-Id"]
        query = ("select string_agg(type, ' ' order by position) from comanda.events where "
                 "kind = 'event' and category <> 'saga' and meta->>'correlation_id' = "
                 f"'{correlation}'")
        done = subprocess.run(["psql", "-X", "-A", "-t", "-d", self.env["DATABASE_URL"], "-c",
                               query], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def confirmed(self):
        self.title("An order is placed and followed until it is confirmed")
        answer = self.placed(an_order())
        document = self.followed(answer, "confirmed")
        total = document["total"]
        self.line(f"total {total['currency']} {total['amount'] / 100:.2f}, "
                  f"version {document['version']}")
        self.line(f"log: {self.history(answer)}")

    def short_of_stock(self):
        self.title("The stock is short: the approved payment is voided, the order rejected")
        answer = self.placed(an_order(sku="SKU-SHORT"))
        self.followed(answer, "rejected")
        history = self.history(answer)
        self.line(f"log: {history}")
        if "PaymentVoided" not in history:
            raise Unexpected("the payment was not voided")

    def declined(self):
        self.title("The card is declined")
        self.followed(self.placed(an_order(token="tok_declined")), "rejected")

    def cancelled(self):
        self.title("The customer changes her mind at once")
        # The last one cannot be confirmed: its provider does not answer.
        for token in ("tok_ok",) * 5 + ("tok_silent",):
            answer = self.placed(an_order(sku="SKU-2", token=token))
            location = answer.headers["Location"]
            asked = self.ana.request("POST", f"{location}/cancellation",
                                     {"reason": "changed my mind"}).expect(202, 409)
            self.line(f"POST {location}/cancellation → {asked.status} "
                      f"{asked.body.get('status', asked.body.get('detail'))}")
            if asked.status == 202:
                self.followed(answer, "cancelled")
                return
            self.line("the shop was faster: a confirmed order stays; another try")
        raise Unexpected("no order could be cancelled before it was confirmed")

    def same_key_twice(self):
        self.title("The same Idempotency-Key twice: one order, the first answer again")
        key = uuid7()
        first = self.ana.place(an_order(sku="SKU-3"), key).expect(201)
        second = self.ana.place(an_order(sku="SKU-3"), key).expect(201)
        if first.body["id"] != second.body["id"]:
            raise Unexpected("two orders under one key")
        self.line(f"both answers: 201 {first.headers['Location']}; the second says "
                  f"Idempotency-Replayed: {second.headers['Idempotency-Replayed']}")
        other = self.ana.place(an_order(sku="SKU-4"), key).expect(422)
        self.line(f"another body under that key: 422 {other.body['type']}")

    def bad_body(self):
        self.title("A bad body: every fault at once, each with its place")
        answer = self.ana.place(dict(an_order(quantity=0), currency="reais")).expect(422)
        self.line(f"422 {answer.body['type']}")
        for fault in answer.body["errors"]:
            self.line(f"  {fault['pointer']}: {fault['detail']}")

    def over_the_rate(self):
        self.title("A caller over its rate")
        token = subprocess.run([self.env["COMANDACTL"], "token", "mint", "--subject",
                                f"hurried-{secrets.token_hex(4)}", "--scope", "orders:write",
                                "--key-file", self.env["COMANDA_JWT_KEY_FILE"]],
                               capture_output=True, text=True, check=True).stdout.strip()
        hurried = Customer(self.env["COMANDA_URL"], token)
        for count, answer in enumerate(hurried.burst(RATE_TRIES_MAX), 1):
            if answer.status == 429:
                self.line(f"request {count}: 429 {answer.body['type']}  "
                          f"Retry-After: {answer.headers['Retry-After']}  "
                          f"RateLimit: {answer.headers['RateLimit']}")
                return
        raise Unexpected(f"{RATE_TRIES_MAX} requests in a row and never a 429")
