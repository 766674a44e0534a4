"""Descriptors of hub and collector do not grow with the workers that have come and gone."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from proxy.collector.rings import KEPT
from proxy.hub.procfs import usage
from tests.hub.gateway import MINIMAL, Gateway, children, gateway, until
from tests.ports import free_port

RELOADS = 2 * KEPT
AWAY = '[export]\notlp = "http://localhost:1"\n'  # nothing that was recorded is ever safe


def listening_on(port: int, more: str) -> str:
    return MINIMAL.format(more=more).replace("127.0.0.1:0", f"127.0.0.1:{port}", 1)


def files(hub: Gateway) -> int:
    """Open ones of the hub, and of the collector where it is another process."""
    pids = [hub.process.pid, *children(hub.process.pid, "proxy.collector")]
    return sum(found.files for pid in pids if (found := usage(pid)) is not None)


def move(hub: Gateway, number: int, more: str) -> None:
    """To another port, when the workers before it have gone."""
    hub.get()
    hub.port = free_port()
    hub.rewrite(listening_on(hub.port, more))
    until(lambda: hub.stats()["reloads"]["succeeded"] == number)
    until(lambda: len(hub.stats()["workers"]) == 1)


@pytest.mark.parametrize("processes", ["separate", "small"])
@pytest.mark.parametrize("export", ["", AWAY], ids=["nothing to export", "a back end is away"])
def test_reloads_that_change_listeners(tmp_path: Path, export: str, processes: str) -> None:
    text = f'processes = "{processes}"\n' + listening_on(0, export)
    with gateway(tmp_path, text, workers=1) as hub:
        hub.stats()
        before = files(hub)
        for number in range(1, RELOADS + 1):
            move(hub, number, export)
        # one for each ring that is kept, in either process, and the collector's queue
        until(lambda: files(hub) <= before + 2 * KEPT + 4)


def test_workers_that_are_killed(tmp_path: Path) -> None:
    with gateway(tmp_path, workers=1) as hub:
        hub.stats()
        before = files(hub)
        for _ in range(10):
            (pid,) = [w["pid"] for w in hub.stats()["workers"]]
            os.kill(pid, signal.SIGKILL)
            until(lambda pid=pid: is_replaced(hub.stats()["workers"], pid))
        until(lambda: files(hub) <= before)


def is_replaced(workers: list[dict[str, Any]], pid: int) -> bool:
    return [w["state"] for w in workers] == ["ready"] and workers[0]["pid"] != pid
