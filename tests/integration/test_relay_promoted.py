# SPDX-License-Identifier: Apache-2.0
"""The relay is led from a dead primary to a standby that lacks its last rows, whose transaction ids
are given again."""
import signal

import pytest

from daemon import Daemon, Database, ROOT, until
from relay_fixtures import FILL, ID_FUNCTION, done, fill, vhost  # noqa: F401
from standby import Forwarder, Standby, ask
from test_edge_faults import Servers

AHEAD = 3000  # transactions that the standby never hears of
BURN = f"""do $$ begin for n in 1..{AHEAD} loop
    perform pg_current_xact_id(); commit; end loop; end $$"""


@pytest.fixture
def servers():
    made = Servers("postgres")
    yield made
    made.remove()


def test_what_is_acknowledged_after_a_promotion_is_published(servers, vhost, tmp_path):
    """Red before: the leader wrote the dead primary's transaction id as the
    promoted one's checkpoint, and rows with smaller ones were never read."""
    database = Database(admin=servers.postgres)
    database.rows(ID_FUNCTION)
    standby = Standby(servers)
    forwarder = Forwarder(int(servers.postgres_port))
    relay = Daemon("relay", tmp_path, COMANDA_AMQP=vhost.url_of("relay"),
                   COMANDA_POSTGRES=database.conninfo.replace(f"port={servers.postgres_port}",
                                                              f"port={forwarder.port}"),
                   COMANDA_SAGAS=ROOT / "conf" / "sagas")
    try:
        fill(database, 1, 50)
        vhost.numbers("comanda.projector", range(1, 51))
        done(database)
        standby.has_all_of(servers.postgres_superuser)
        standby.fall_behind()
        standby.promote()
        promoted = standby.conninfo.replace("dbname=postgres", "") + f" dbname={database.name}"
        after = FILL % {"first": 5001, "last": 5400, "category": "'order'", "kind": "'event'",
                        "type": "'OrderPlaced'", "meta": "'{}'"}
        ask(promoted, after)
        database.rows(BURN)
        for number in range(1001, 1101):  # some of them confirmed and not yet in the checkpoint
            fill(database, number, number)
        relay.process.send_signal(signal.SIGSTOP)
        forwarder.lead_to(standby.port)
        servers.signal("postgres", signal.SIGQUIT)
        relay.process.send_signal(signal.SIGCONT)
        vhost.numbers("comanda.projector", range(5001, 5401), 20)
        until(lambda: ask(promoted, "select count(*) from comanda.outbox") == [(0,)],
              "the checkpoint at the end of the log")
        tx, last = ask(promoted, "select l.tx::text::int8, (select max(e.tx::text::int8)"
                                 " from comanda.events e) from comanda.leases l"
                                 " where name = 'relay'")[0]
        assert tx == last, "a checkpoint of the dead primary's"
        relay.wait_ready()
    finally:
        relay.end()
        forwarder.close()
        standby.remove()
        database.drop()
