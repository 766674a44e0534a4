"""The file that switches maintenance on, with a hub and its workers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from proxy.config.load import loads
from proxy.config.loaded import Loaded
from proxy.hub.maintenance import Switch
from tests.hub.gateway import fetch, gateway, until


def configured(folder: Path, said: str) -> Loaded:
    text = f'[errors]\n{said}\n[route]\nrespond = "x"\n'
    return loads(text, str(folder / "routes.toml"), {})


async def test_it_is_on_while_the_file_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loaded, said = configured(tmp_path, 'maintenance = "down"'), []
    switch = Switch(lambda: loaded, lambda _, payload: said.append(payload))
    await switch.look()
    (tmp_path / "down").touch()
    for _ in range(2):
        await switch.look()
    (tmp_path / "down").unlink()
    for _ in range(2):
        await switch.look()
    assert said == [b"1", b""] and not switch.is_on
    assert [record.message for record in caplog.records] == [
        f"maintenance is on: there is {tmp_path / 'down'}",
        f"maintenance is off: {tmp_path / 'down'} is gone",
    ]


async def test_a_configuration_that_names_no_file_any_more_switches_it_off(tmp_path: Path) -> None:
    loaded, said = configured(tmp_path, 'maintenance = "down"'), []
    (tmp_path / "down").touch()
    switch = Switch(lambda: loaded, lambda _, payload: said.append(payload))
    await switch.look()
    loaded = configured(tmp_path, "maintenance = true")
    for _ in range(2):
        await switch.look()
    assert said == [b"1", b""]


async def test_a_folder_that_is_not_there_is_no_maintenance(tmp_path: Path) -> None:
    loaded, said = configured(tmp_path, 'maintenance = "no/such/down"'), []
    await Switch(lambda: loaded, lambda _, payload: said.append(payload)).look()
    assert said == []


GATEWAY = """
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[errors]
maintenance = "down"
[[route]]
path = "/up"
respond = "up"
[[route]]
to = "http://127.0.0.1:1"
"""


def test_workers_follow_the_file_and_new_ones_know(tmp_path: Path) -> None:
    """The admin port answers throughout; a worker that is started while it is on is closed too."""
    (tmp_path / "down").touch()
    with gateway(tmp_path, GATEWAY) as hub:

        def told() -> str:
            status, fields, _ = fetch(hub.port, "/")
            assert status == 503 and fetch(hub.port, "/up")[0] == 200
            return fields["proxy-status"]

        assert all("maintenance" in told() for _ in range(8))
        assert hub.values()["spangate_maintenance", ()] == 1
        (tmp_path / "down").unlink()
        hub.wait_for_line("maintenance is off: .*down is gone")
        until(lambda: all("connection_refused" in told() for _ in range(8)))
        assert hub.values()["spangate_maintenance", ()] == 0
        (tmp_path / "down").touch()
        until(lambda: all("maintenance" in told() for _ in range(8)))
        for worker in hub.stats()["workers"]:
            os.kill(worker["pid"], signal.SIGKILL)
        until(lambda: sum(w["restarts"] for w in hub.stats()["workers"]) == 2)
        until(lambda: hub.ask("/ready")[0] == 200)
        assert all("maintenance" in told() for _ in range(8))
