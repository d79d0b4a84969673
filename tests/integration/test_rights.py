# SPDX-License-Identifier: Apache-2.0
"""A program whose role lacks a right at PostgreSQL is not ready, says which, and mends."""
import json
import os
import types

import pytest

from daemon import Broker, Daemon, Database, until
from edge import Edge

SAGAS = os.path.join(os.path.dirname(__file__), "../../conf/sagas")
LACKED = {"payment": "sandbox.perform_payments", "inventory": "comanda.suspect_mark",
          "shipping": "comanda.append", "saga": "comanda.claim_timers",
          "projector": "comanda.suspect_mark_group", "relay": "comanda.upkeep_step"}


class Roles:
    """A database in which a superuser plays the programs' roles: sessions come in as a role, as they
    would with its password."""

    def __init__(self):
        self.database = Database(admin=os.environ["COMANDA_TEST_POSTGRES_SUPERUSER"])

    def conninfo(self, program):
        return f"{self.database.conninfo} options='-c role=comanda_{program}'"

    def execute(self, verb, function, program):
        """grant or revoke; roles are the cluster's, what they may is the database's."""
        schema, name = function.split(".")
        signature, = self.database.rows(
            "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = %s::regnamespace"
            " and p.proname = %s", schema, name)[0]
        self.database.rows(f"{verb} execute on function {signature}"
                           f" {'to' if verb == 'grant' else 'from'} comanda_{program}")


@pytest.fixture(scope="module")
def roles():
    made = Roles()
    yield made
    made.database.drop()


@pytest.mark.parametrize("program", LACKED)
def test_a_daemon_that_lacks_a_right_is_not_ready_says_which_and_mends(roles, tmp_path, program):
    lacked = LACKED[program]
    broker = Broker()
    if program in ("payment", "inventory", "shipping"):
        broker.need({"payment": "payments"}.get(program, program))
    roles.execute("revoke", lacked, program)
    settings = {"COMANDA_SAGAS": SAGAS} if program in ("saga", "relay") else {}
    if program == "projector":
        settings = {"COMANDA_REDIS": "127.0.0.1:1"}
    daemon = Daemon(program, tmp_path, COMANDA_POSTGRES=roles.conninfo(program),
                    COMANDA_AMQP=broker.url, **settings)
    try:
        until(lambda: lacked in daemon.checks().get("rights", {}).get("detail", ""), "the right")
        assert f"comanda_{program} may not execute {lacked}:" in daemon.checks()["rights"]["detail"]
        assert not daemon.is_ready()
        roles.execute("grant", lacked, program)
        until(lambda: daemon.checks()["rights"]["status"] == "ok", "it may again")
        assert sum(lacked in json.dumps(line) for line in daemon.log()) == 1, "told once"
    finally:
        daemon.stop()
        broker.drop()


def test_an_edge_that_lacks_a_right_is_not_ready_says_which_and_mends(roles):
    shop = types.SimpleNamespace(key="a development key of forty-two bytes, more", database=(
        types.SimpleNamespace(conninfo=roles.conninfo("edge"))))
    roles.execute("revoke", "comanda.find_keys", "edge")
    edge = Edge(shop, redis="", start=False)
    try:
        edge.start(ready=False)
        edge.wait_ready("not ready")
        said = "comanda_edge may not execute comanda.find_keys"
        until(lambda: edge.get("/readyz", token=None).json["checks"]["postgres"]["detail"] == said,
              "which right")
        roles.execute("grant", "comanda.find_keys", "edge")
        until(lambda: edge.readiness() in ("ready", "degraded"), "it may again")
        assert 1 <= edge.log().count(said) <= len(edge.workers()), "told once a worker"
    finally:
        edge.remove()
