# SPDX-License-Identifier: Apache-2.0
"""The way of an order behind the edge: relay, saga and participants on real servers."""
import hashlib
import json
import os
import signal
import subprocess
import uuid

from daemon import BUILD, PATIENCE_S, ROOT, Broker, Daemon, until, uuid7

DAEMONS = ("relay", "saga", "payment", "inventory", "shipping")
SAGAS = str(ROOT / "conf/sagas")
PLACED_AT = "2026-11-24T06:52:25.123Z"


def derived(parent, role):
    """uuid_derive of base/uuid.c, said again."""
    digest = hashlib.sha256(parent.bytes + role.encode()).digest()
    made = bytearray(parent.bytes[:6] + digest[:10])
    made[6] = made[6] & 0x0f | 0x80
    made[8] = made[8] & 0x3f | 0x80
    return uuid.UUID(bytes=bytes(made))


def named(tenant, category, name):
    """uuid_named of base/uuid.c, said again."""
    pieces = b"".join(len(part).to_bytes(4, "big") + part.encode()
                      for part in (tenant, category, name))
    made = bytearray(hashlib.sha256(pieces).digest()[:16])
    made[0] |= 0x80
    made[6] = made[6] & 0x0f | 0x80
    made[8] = made[8] & 0x3f | 0x80
    return uuid.UUID(bytes=bytes(made))


def placed(sku="SKU-1", quantity=2, token="tok_ok", postal_code="01310-100"):
    """The data of an OrderPlaced."""
    return {"customer": "ana", "currency": "BRL",
            "lines": [{"sku": sku, "quantity": quantity, "unit_price": 1990,
                       "total": 1990 * quantity}],
            "total": 1990 * quantity, "payment_token": token,
            "ship_to": {"name": "Ana", "street": "Rua 1", "city": "São Paulo",
                        "postal_code": postal_code, "country": "BR"},
            "placed_at": PLACED_AT}


class Vhost(Broker):
    """A virtual host of its own, empty: the relay declares the topology."""

    def __init__(self):
        self.make_vhost()
        self.connection = self.connect()
        self.channel = self.connection.channel()


class Shop:
    """Daemons over a database and a virtual host of the test's own; orders go straight to the log."""

    def __init__(self, database, broker, folder, **settings):
        self.database, self.broker, self.folder = database, broker, folder
        self.settings = settings
        self.daemons = {}

    def start(self, *names, wait=True, **settings):
        for name in names:
            self.daemons[name] = Daemon(name, self.folder, **{
                "COMANDA_POSTGRES": self.database.conninfo, "COMANDA_AMQP": self.broker.url_of(name),
                "COMANDA_SAGAS": SAGAS, **self.settings, **settings})
        for name in names if wait else ():
            self.daemons[name].wait_ready()
        return self

    def end(self, name, how=signal.SIGTERM):
        daemon = self.daemons.pop(name)
        daemon.process.send_signal(signal.SIGCONT)
        return daemon.stop(how)

    def stop(self):
        for name in list(self.daemons):
            self.end(name, signal.SIGKILL)

    def stop_in_order(self):
        """As an operator would; a sanitizer tells at a regular end what has leaked."""
        codes = {name: self.end(name) for name in list(self.daemons)}
        assert set(codes.values()) <= {0}, codes

    def ctl(self, *arguments, user="operator", **settings):
        """(exit code, what it printed) of comandactl; user None: the broker's administrator."""
        environment = dict(os.environ, COMANDA_POSTGRES=self.database.conninfo,
                           COMANDA_AMQP=self.broker.url_of(user) if user else self.broker.url,
                           COMANDA_SAGAS=SAGAS, **settings)
        done = subprocess.run([BUILD / "bin/comandactl", *map(str, arguments)], env=environment,
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def append(self, stream, category, version, kind, data, event_id=None):
        self.database.rows(
            "insert into comanda.events (epoch, tenant, category, stream_id, version, event_id,"
            " kind, type, schema_version, data, meta) select l.epoch, 'main', %s, %s, %s, %s,"
            " 'event', %s, 1, %s, '{\"correlation_id\":\"c-1\"}' from comanda.log l",
            category, str(stream), version, str(event_id or uuid7()), kind, json.dumps(data))

    def stock(self, sku, quantity):
        self.append(named("main", "stock_item", sku), "stock_item", 1, "StockReceived",
                    {"sku": sku, "quantity": quantity, "receipt": "test"})

    def place(self, **order):
        stream = uuid7()
        self.append(stream, "order", 1, "OrderPlaced", placed(**order))
        return stream

    def cancel(self, order):
        self.append(order, "order", 2, "OrderCancelRequested",
                    {"reason": "changed my mind", "requested_at": PLACED_AT})

    def types(self, stream):
        return [row[0] for row in self.database.rows(
            "select type from comanda.events where stream_id = %s and kind = 'event'"
            " order by version", str(stream))]

    def commands(self, order):
        """What the order's saga has asked, in order."""
        return [tuple(row) for row in self.database.rows(
            "select data->>'step', data->>'direction', (data->>'attempt')::int from comanda.events"
            " where stream_id = %s and kind = 'command' order by version", str(saga_of(order)))]

    def rejection(self, order):
        rows = self.database.rows("select data->>'code' from comanda.events where stream_id = %s"
                                  " and type = 'OrderRejected'", str(order))
        return rows[0][0] if rows else None

    def ended(self, order, timeout=PATIENCE_S):
        """The order's last event, once its saga has ended."""
        def end():
            return self.types(saga_of(order))[-1:] in (["SagaCompleted"], ["SagaCompensated"])
        until(end, f"the end of the saga of {order}", timeout)
        return self.types(order)[-1]

    def journal(self, stream):
        return [tuple(row) for row in self.database.rows(
            "select operation, outcome from sandbox.journal where key like %s"
            " order by recorded_at", f"{stream}:%")]


def saga_of(order):
    return derived(order, "saga:order_fulfilment")
