"""Files as a source: what is read of them together is given together."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from proxy.sources import files as module
from proxy.sources.units import Unit
from tests.sources.kit import Watching

ROUTE = '[[route]]\nname = "{name}"\npath = "/{path}"\nto = "http://127.0.0.1:1"\n'


async def test_what_is_half_read_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_half, may_go_on = threading.Event(), threading.Event()
    unit_of = module.unit_of

    def slow(data: bytes, place: str) -> Unit:
        if b"/second" in data and place == "b.toml":
            is_half.set()
            may_go_on.wait()
        return unit_of(data, place)

    def write(path: str) -> None:
        for name in ("a", "b"):
            (tmp_path / f"{name}.toml").write_text(ROUTE.format(name=name, path=path))

    monkeypatch.setattr(module, "unit_of", slow)
    write("first")
    source = module.Files("*.toml", str(tmp_path), every=0.02)
    try:
        async with Watching(source) as heard:
            await heard.until(lambda: heard.states)
            write("second")
            await asyncio.to_thread(is_half.wait)
            assert source.settled(heard.now, ["a.toml:1: wrong"])
            assert [table["path"] for table in heard.now.routes] == ["/first"]
            may_go_on.set()
            await heard.until(lambda: heard.routes.get("b", {}).get("path") == "/second")
            assert heard.routes["a"]["path"] == "/second", "it has changed, and may be good now"
    finally:
        may_go_on.set()
