# SPDX-License-Identifier: Apache-2.0
"""Seeded customers who speak the published contract (docs/http.md), and what they were told."""
import concurrent.futures
import dataclasses
import random
import secrets
import threading
import time
import uuid

import requests

PATIENCE_SECONDS = 120
REQUEST_SECONDS = 8
AGAIN_SECONDS = 0.15
SKUS = 20

# kind: how likely, changes of the order, the codes that it may be rejected with
KINDS = {
    "ok": (62, {}, {"timed_out"}),
    "declined": (6, {"payment_token": "tok_declined"}, {"payment_declined", "timed_out"}),
    "capture fails": (6, {"payment_token": "tok_capture_fails"}, {"payment_declined", "timed_out"}),
    "silent": (3, {"payment_token": "tok_silent"}, {"timed_out"}),
    "late": (3, {"payment_token": "tok_late"}, {"timed_out"}),
    "stock short": (7, {"sku": "SKU-SHORT"}, {"stock_short", "timed_out"}),
    "carrier refuses": (6, {"postal_code": "00000-000"}, {"shipment_refused", "timed_out"}),
    "basket": (7, {}, {"timed_out"}),
}
# What a customer does about an order, and how likely.
CANCELS, REPEATS, TWINS, LEAVES, LOOKS = 0.22, 0.12, 0.06, 0.05, 0.35
# These cannot be confirmed, however well all goes.
NEVER_CONFIRMED = ("declined", "capture fails", "silent", "late", "stock short", "carrier refuses")


def uuid7():
    number = int(time.time() * 1000) << 80 | 7 << 76 | secrets.randbits(12) << 64
    return str(uuid.UUID(int=number | 2 << 62 | secrets.randbits(62)))


def an_order(chance, kind):
    changes = KINDS[kind][1]
    skus = [f"SKU-{number}" for number in chance.sample(range(1, SKUS + 1), 5)]
    skus = [changes["sku"]] if "sku" in changes else skus if kind == "basket" else skus[:1]
    return {
        "currency": "BRL",
        "lines": [{"sku": sku, "quantity": chance.randint(1, 3)} for sku in skus],
        "payment_token": changes.get("payment_token", "tok_ok"),
        "ship_to": {"name": "Ana Souza", "street": "Rua das Laranjeiras 100",
                    "city": "Rio de Janeiro",
                    "postal_code": changes.get("postal_code", "22240-003"), "country": "BR"},
    }


@dataclasses.dataclass
class Command:
    """One thing that a customer wanted, however often it was asked for."""
    kind: str
    path: str
    body: dict
    customer: str
    key: str = dataclasses.field(default_factory=uuid7)
    correlation: str = dataclasses.field(default_factory=lambda: f"storm-{uuid.uuid4()}")
    sent_at: float = 0.0
    tries: int = 0
    status: int = 0  # 0: never answered with something final
    order: str = ""
    version: int = 0
    waited: float = 0.0
    left: bool = False


@dataclasses.dataclass
class Told:
    """All that the customers sent, were answered and found wrong, kept for the checks."""
    placed: list = dataclasses.field(default_factory=list)
    cancelled: list = dataclasses.field(default_factory=list)
    faults: list = dataclasses.field(default_factory=list)
    answers: list = dataclasses.field(default_factory=list)  # moments of final answers
    again: dict = dataclasses.field(default_factory=dict)  # why it had to be asked again
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def fault(self, text):
        with self.lock:
            self.faults.append(text)

    def asked_again(self, why):
        with self.lock:
            self.again[why] = self.again.get(why, 0) + 1

    def answered(self, command):
        command.waited = time.monotonic() - command.sent_at
        with self.lock:
            self.answers.append(time.monotonic())

    def silence(self, began, ended):
        """The longest time in which nobody got a final answer."""
        moments = [began, *sorted(at for at in self.answers if began <= at <= ended), ended]
        return max(later - earlier for earlier, later in zip(moments, moments[1:]))


def is_final(answer):
    """503 was not begun, 504 is unknown, in-flight is at work: all else is an answer."""
    if answer.status_code == 409:
        return not answer.json()["type"].endswith(":in-flight")
    return answer.status_code not in (503, 504)


class Wire:
    """One connection to whichever edge answers."""

    def __init__(self, urls, token, chance):
        self.urls, self.token, self.chance = urls, token, chance
        self.session = requests.Session()
        self.session.trust_env = False

    def send(self, method, path, headers=None, body=None, timeout=REQUEST_SECONDS):
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        urls = self.urls()
        url = self.chance.choice(urls) if urls else "http://127.0.0.1:9"
        return self.session.request(method, url + path, headers=sent, json=body, timeout=timeout,
                                    allow_redirects=False)


class Client(threading.Thread):
    """One customer's browser: places, cancels, looks, asks again."""

    def __init__(self, seed, number, urls, tokens, told, pause):
        super().__init__(name=f"client-{number}", daemon=True)
        self.chance = random.Random(f"{seed}:client:{number}")
        self.customer = sorted(tokens)[number % len(tokens)]
        token = tokens[self.customer]
        self.wire = Wire(urls, token, random.Random(f"{seed}:wire:{number}"))
        self.twin = Wire(urls, token, random.Random(f"{seed}:twin:{number}"))
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.told, self.pause = told, pause
        self.stopping = threading.Event()
        self.deadline = None
        self.cancels = []  # (when, order)

    def stop(self):
        self.deadline = time.monotonic() + PATIENCE_SECONDS
        self.stopping.set()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.place()
                self.cancel_due()
                self.stopping.wait(self.chance.uniform(0, 2 * self.pause))
            self.cancel_due(everything=True)
        except Exception as fault:  # pylint: disable=broad-except
            self.told.fault(f"{self.name} ended: {fault!r}")
        finally:
            self.pool.shutdown(wait=True)

    # One command.

    def command(self, command, wire=None, leaves=False):
        """Asks until there is a final answer, which it gives; None when the customer has left."""
        wire = wire or self.wire
        command.sent_at = command.sent_at or time.monotonic()
        headers = {"Idempotency-Key": command.key, "Comanda-Correlation-Id": command.correlation}
        while True:
            command.tries += 1
            try:
                answer = wire.send("POST", command.path, headers, command.body,
                                   0.03 if leaves else REQUEST_SECONDS)
                if is_final(answer):
                    self.told.answered(command)
                    return answer
                why = f"{answer.status_code} {answer.json()['type'].rpartition(':')[2]}"
            except requests.Timeout:
                why = "no answer"
            except requests.RequestException:
                why = "no connection"
            if leaves:
                command.left = True
                return None
            self.told.asked_again(why)
            if self.deadline and time.monotonic() > self.deadline:
                self.told.fault(f"{command.path} {command.correlation} was never answered: {why}")
                return None
            time.sleep(AGAIN_SECONDS)

    # Orders.

    def place(self):
        kind = self.chance.choices(list(KINDS), [words[0] for words in KINDS.values()])[0]
        command = Command(kind, "/v1/orders", an_order(self.chance, kind), self.customer)
        # Drawn in any case, so that what comes next does not hang on what was answered.
        twins, leaves, repeats, looks, cancels = (self.chance.random() for _ in range(5))
        delay = self.chance.choice([0, 0, self.chance.uniform(0, 0.5), self.chance.uniform(0, 6)])
        with self.told.lock:
            self.told.placed.append(command)
        other = None
        if twins < TWINS:
            other = self.pool.submit(self.command, dataclasses.replace(command), self.twin)
        answer = self.command(command, leaves=leaves < LEAVES and other is None)
        if answer is None or not self.keep_placed(command, answer):
            return
        if other:
            self.compare(command, other.result(), "a twin")
        if repeats < REPEATS:
            self.compare(command, self.command(dataclasses.replace(command, sent_at=0)), "a repeat")
        if looks < LOOKS:
            self.look(command)
        if cancels < CANCELS:
            self.cancels.append((time.monotonic() + delay, command))

    def keep_placed(self, command, answer):
        command.status = answer.status_code
        if answer.status_code != 201:
            self.told.fault(f"placing {command.correlation}: {answer.status_code} "
                            f"{answer.text[:300]}")
            return False
        document = answer.json()
        command.order, command.version = document["id"], document["version"]
        return True

    def compare(self, command, answer, what):
        """The same key and body: the same order."""
        if answer is not None and (answer.status_code != 201 or
                                   answer.json()["id"] != command.order):
            self.told.fault(f"{what} of {command.correlation}, order {command.order}, got "
                            f"{answer.status_code} {answer.text[:300]}")

    def look(self, command):
        """A GET straight after shows what was acknowledged."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = self.wire.send("GET", f"/v1/orders/{command.order}")
            except requests.RequestException:
                time.sleep(AGAIN_SECONDS)
                continue
            if answer.status_code in (503, 504):
                time.sleep(AGAIN_SECONDS)
                continue
            if answer.status_code != 200 or answer.json()["version"] < command.version:
                self.told.fault(f"order {command.order} was acknowledged with version "
                                f"{command.version}; straight after: {answer.status_code} "
                                f"{answer.text[:300]}")
            return

    # Cancellations.

    def cancel_due(self, everything=False):
        now = float("inf") if everything else time.monotonic()
        due = [command for when, command in self.cancels if when <= now]
        self.cancels = [one for one in self.cancels if one[0] > now]
        for command in due:
            self.cancel(command)

    def cancel(self, placed):
        command = Command("cancel", f"/v1/orders/{placed.order}/cancellation",
                          {"reason": "changed my mind"}, self.customer, order=placed.order)
        with self.told.lock:
            self.told.cancelled.append(command)
        answer = self.command(command)
        if answer is None:
            return
        command.status = answer.status_code
        if answer.status_code == 202:
            command.version = answer.json()["version"]
            if self.chance.random() < LOOKS:
                self.look(command)
        elif answer.status_code != 409 or "order-not-cancellable" not in answer.text:
            self.told.fault(f"cancelling {placed.order}: {answer.status_code} {answer.text[:300]}")
