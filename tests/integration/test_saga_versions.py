# SPDX-License-Identifier: Apache-2.0
"""A newer definition beside running sagas, on real servers: each ends on the version it began with,
and a daemon that lacks one says so, takes nothing and loses nothing."""
import json
import pathlib
import time

import pytest

from daemon import until
from fulfilment import SAGAS, Shop, saga_of
from test_saga import FORWARD, close_shop, open_shop

# What version 2 calls the two steps that come after the reservation.
RENAMED = {"schedule": "book_carrier", "capture": "take_money"}
FORWARD_2 = [(RENAMED.get(step, step), direction, attempt) for step, direction, attempt in FORWARD]


def definition(version):
    text = pathlib.Path(SAGAS, "order_fulfilment.json").read_text(encoding="utf-8")
    made = json.loads(text)
    made["version"] = version
    for step in made["steps"] if version == 2 else []:
        step["name"] = RENAMED.get(step["name"], step["name"])
    return json.dumps(made)


def folder_of(path, *versions):
    """A folder that holds these versions and no other."""
    path.mkdir(exist_ok=True)
    for file in path.iterdir():
        file.unlink()
    for version in versions:
        (path / f"order_fulfilment_{version}.json").write_text(definition(version),
                                                               encoding="utf-8")
    return str(path)


@pytest.fixture
def shop(tmp_path):
    """Steps that wait for as long as the stock is away, and a ladder that lasts longer."""
    made = open_shop(tmp_path, COMANDA_SAGA_TIMEOUT="120s", COMANDA_RETRY_1="3s",
                     COMANDA_RETRY_2="6s", COMANDA_RETRY_3="400s")
    made.settings["COMANDA_SAGAS"] = folder_of(tmp_path / "sagas", 1)
    made.sagas = tmp_path / "sagas"
    made.start("relay", "saga", "payment", "shipping")
    yield made
    close_shop(made)


def place_and_wait_for_stock(shop):
    order = shop.place()
    until(lambda: ("reserve", "forward", 1) in shop.commands(order), "reserve is out")
    return order


def restart_saga(shop, *versions):
    shop.end("saga")
    folder_of(shop.sagas, *versions)
    start_saga(shop)


def start_saga(shop):
    """Without waiting until it is ready."""
    shop.start("saga", wait=False)


def version_of(shop, order):
    return shop.database.rows("select (data->>'saga_version')::int from comanda.events"
                              " where stream_id = %s and type = 'SagaStarted'",
                              str(saga_of(order)))[0][0]


def listed(shop, order):
    code, text = shop.ctl("saga", "list", "--json", "--sagas", shop.sagas)
    assert code == 0, text
    return {each["saga"]: each for each in json.loads(text)}[str(saga_of(order))]


def doctor_says(shop, check):
    _, text = shop.ctl("doctor", "--json", "--sagas", shop.sagas)
    return [(each["status"], each["detail"]) for each in json.loads(text)
            if each["check"] == check]


def test_a_running_saga_ends_on_its_version_and_a_new_one_begins_on_the_newest(shop):
    old = place_and_wait_for_stock(shop)
    restart_saga(shop, 1, 2)
    shop.daemons["saga"].wait_ready()
    young = place_and_wait_for_stock(shop)
    shop.start("inventory")
    assert shop.ended(old) == "OrderConfirmed"
    assert shop.ended(young) == "OrderConfirmed"
    assert (shop.commands(old), version_of(shop, old)) == (FORWARD, 1)
    assert (shop.commands(young), version_of(shop, young)) == (FORWARD_2, 2)
    assert [listed(shop, order)["definition"] for order in (old, young)] == [1, 2]
    assert shop.broker.ready("comanda.saga.dead") == 0


def test_a_daemon_without_the_version_of_a_running_saga_says_so_and_leaves_its_messages(shop):
    order = place_and_wait_for_stock(shop)
    restart_saga(shop, 2)
    daemon = shop.daemons["saga"]
    told = until(lambda: [each["detail"] for each in [daemon.checks()["sagas"]]
                          if each["status"] == "failed" and "version" in each["detail"]],
                 "it is not ready, and why")[0]
    assert "order_fulfilment version 1 is not loaded, and sagas run on it (1)" in told
    assert not daemon.is_ready() and daemon.get("/healthz")[0] == 200
    until(lambda: daemon.metric("comanda_sagas_not_loaded", absent=0) == 1, "it is counted")
    until(lambda: any(line.get("dependency") == "sagas" and line["detail"] == told
                      for line in daemon.log()), "it is logged")
    assert (listed(shop, order)["definition"], listed(shop, order)["loaded"]) == (1, "no")
    status, detail = doctor_says(shop, "sagas running")[0]
    assert status == "fault" and "1 on order_fulfilment version 1" in detail
    code, text = shop.ctl("saga", "abort", saga_of(order), "--sagas", shop.sagas)
    assert code != 0 and "order_fulfilment version 1 is not loaded" in text

    shop.start("inventory")  # its reply has nobody to go to
    young = shop.place()
    until(lambda: shop.broker.ready("comanda.saga") == 2, "reply and order wait in the queue")
    time.sleep(1.5)
    assert shop.broker.ready("comanda.saga") == 2
    assert all(shop.broker.ready(f"comanda.saga.{rest}") == 0
               for rest in ("retry.1", "retry.2", "retry.3", "dead"))
    assert ("schedule", "forward", 1) not in shop.commands(order)

    restart_saga(shop, 1, 2)
    assert shop.ended(order) == "OrderConfirmed"
    assert shop.ended(young) == "OrderConfirmed"
    assert (shop.commands(order), version_of(shop, order)) == (FORWARD, 1)
    assert (shop.commands(young), version_of(shop, young)) == (FORWARD_2, 2)
    assert doctor_says(shop, "sagas running") == [("ok", "0, each with its definition")]


def test_an_older_daemon_beside_a_newer_one_gives_up_its_messages(shop, tmp_path):
    """As in a rolling update: the old one meets sagas of a version that it has not."""
    shop.start("inventory")
    newer = Shop(shop.database, shop.broker, shop.folder,
                 **dict(shop.settings, COMANDA_SAGAS=folder_of(tmp_path / "newer", 1, 2)))
    newer.start("saga")
    orders = []
    for _ in range(40):
        orders.append(shop.place())
        time.sleep(0.1)
    for order in orders:
        assert shop.ended(order, 60) == "OrderConfirmed"
        assert shop.commands(order) == (FORWARD if version_of(shop, order) == 1 else FORWARD_2)
    assert {version_of(shop, order) for order in orders} == {1, 2}
    assert shop.broker.ready("comanda.saga.dead") == 0
    until(lambda: any(line.get("dependency") == "sagas"
                      and "version 2 is not loaded" in line["detail"]
                      for line in shop.daemons["saga"].log()), "it is logged")
    shop.daemons["saga"].wait_ready()  # the last saga of version 2 has ended
    newer.stop()
