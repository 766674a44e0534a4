"""Files that somebody writes are read when they are whole."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.hub.settled import mark, settled, whole
from proxy.tasks import cancel, spawn

LONG_AGO = 1_000_000_000


async def test_an_old_file_is_ready_at_once(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("whole")
    os.utime(file, (LONG_AGO, LONG_AGO))
    waiting = spawn(settled(str(file), 60.0), "wait")
    await asyncio.sleep(0)
    assert waiting.done() and waiting.result() == mark(str(file))


async def test_it_is_waited_for_whoever_writes_piece_by_piece(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("")
    waiting = spawn(settled(str(file), 0.5, 60.0), "wait")
    for piece in range(100):
        with file.open("a") as text:
            text.write(f"{piece}\n")
        await asyncio.sleep(0.005)
        assert not waiting.done()
    assert await waiting == mark(str(file))


async def test_another_file_in_its_place_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "f"
    waiting = spawn(settled(str(file), 0.01, 60.0), "wait")
    await asyncio.sleep(0.1)
    assert not waiting.done()
    (tmp_path / "new").write_text("whole")
    (tmp_path / "new").replace(file)
    assert await waiting == mark(str(file)) is not None
    await cancel(waiting)


async def test_patience_has_an_end(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert await settled(str(empty), 0.01, 0.05) == mark(str(empty))
    assert await settled(str(tmp_path / "none"), 0.01, 0.05) is None


async def test_what_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("whole")
    assert await whole(str(file), file.read_text) == "whole"
    with pytest.raises(ConfigError, match="it changed while it was read"):
        await whole(str(file), lambda: file.write_text("another"))
