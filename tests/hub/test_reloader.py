"""Who asks for a reload gets an answer, whatever becomes of it."""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.config.load import loads
from proxy.hub.reload import Reloads
from proxy.hub.reloader import LARGE, Reloader


class Small:
    """As much of a hub as reloads are about."""

    number = 7

    def __init__(self) -> None:
        self.loaded = loads('[[route]]\npath = "/*"\nrespond = 204\n', "t", {})
        self.reloads = Reloads()
        self.changing = asyncio.Lock()
        self.runs = 0
        self.reloader = Reloader(self, self.run)

    async def run(self) -> str:
        self.runs += 1
        if self.runs == 1:
            raise ZeroDivisionError("division by zero")
        self.reloads.reasons = ()
        return ""


async def test_a_fault_of_ours_is_told_counted_and_the_next_one_runs(caplog: Any) -> None:
    hub = Small()
    first = hub.reloader.ask()
    async with asyncio.timeout(20):
        outcome = await first
        assert outcome.generation == 7
        (reason,) = outcome.reasons
        assert "ZeroDivisionError: division by zero" in str(reason)
        assert "stopping" not in str(reason)
        assert hub.reloads.failed == 1
        assert "ZeroDivisionError" in hub.reloads.error
        assert (await hub.reloader.ask()).reasons == ()
    assert "Traceback" in caplog.text


async def test_each_reload_is_in_the_history_a_broken_one_too() -> None:
    hub = Small()
    async with asyncio.timeout(20):
        await hub.reloader.ask()
        await hub.reloader.ask()
    good, broken = hub.reloads.history.view()
    assert (broken["ok"], "ZeroDivisionError" in broken["error"]) == (False, True)
    assert good["diff"] == broken["diff"] == ""


async def test_a_large_file_is_compared_when_its_reload_is_over() -> None:
    hub = Small()
    hub.runs = 1
    hub.loaded = loads(f'[[route]]\npath = "/*"\nrespond = "{"x" * LARGE}"\n', "t", {})
    async with asyncio.timeout(20):
        assert (await hub.reloader.ask()).reasons == ()
        while not hub.reloads.history.view():
            await asyncio.sleep(0)
    assert len(hub.reloads.history.view()) == 1
