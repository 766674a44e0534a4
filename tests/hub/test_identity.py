"""What becomes of an identity that workers do not take at once."""

from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace
from typing import Any

import pytest

from proxy.config.load import loads
from proxy.hub import identity
from proxy.hub.identity import Identity
from proxy.hub.reload import Reloads
from proxy.hub.rollout import Refused
from proxy.mesh.judged import judged
from proxy.mesh.svid import Svid
from tests.mesh import identities

CONFIG = """
[mesh]
app = "127.0.0.1:9"
inbound = "127.0.0.1:0"
outbound = "127.0.0.1:0"
identity = { ca = "files:///nowhere" }
[[route]]
path = "/*"
respond = 200
"""


class Services:
    def __init__(self) -> None:
        self.secured = 0

    async def secure(self, loaded: object) -> None:
        self.secured += 1


def svid() -> Svid:
    cert, key, roots = identities.identity()
    return judged(cert, key, {"mesh": roots}, time.time(), ("it", "its key"))


def begun(refusals: int, monkeypatch: pytest.MonkeyPatch) -> tuple[Identity, Any, Services]:
    """One whose workers refuse so many times."""
    hub = SimpleNamespace(
        changing=asyncio.Lock(), loaded=loads(CONFIG, "x.toml", {}), reloads=Reloads()
    )

    async def bring(_: object, new: Any) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise Refused("worker 0 did not prepare the configuration within 10 s")
        hub.loaded = new.loaded

    monkeypatch.setattr(identity, "bring_into_force", bring)
    monkeypatch.setattr(identity, "AGAIN", 0.0)
    made, services = Identity(), Services()
    made.start(hub, services)  # type: ignore[arg-type]
    return made, hub, services


async def test_workers_that_refuse_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made, hub, services = begun(3, monkeypatch)
    new = svid()
    assert await made.put(new)
    assert made.svid is new and made.error == "" and services.secured == 1
    assert hub.loaded.material.mesh == new.certified and hub.reloads.refused == 3
    assert [s.value for s in made.series() if s.instrument.name.endswith("expiry")]


async def test_in_the_end_what_there_was_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    made, hub, services = begun(10_000, monkeypatch)
    assert await made.put(svid()) is False
    assert made.svid is None and "did not prepare" in made.error and services.secured == 0
    assert hub.loaded.material.mesh is None and hub.reloads.refused == identity.TRIES


async def test_a_clock_that_is_set_back_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    new, told = svid(), asyncio.Event()
    ahead = new.until - time.monotonic()
    clock = SimpleNamespace(time=lambda: ahead + time.monotonic())
    said_at: list[float] = []

    def hears(record: logging.LogRecord) -> bool:
        if "expired on" in record.getMessage():
            said_at.append(clock.time())
            told.set()
        return True

    made, _, _ = begun(0, monkeypatch)
    monkeypatch.setattr(identity, "time", clock)
    identity.log.addFilter(hears)
    try:
        await made.put(new)  # at its end, as its clock says
        ahead -= 0.3
        async with asyncio.timeout(identities.DEADLINE):
            await told.wait()
    finally:
        identity.log.removeFilter(hears)
        await made.stop()
    assert said_at[0] >= new.until
