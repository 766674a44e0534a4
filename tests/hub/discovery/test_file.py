"""A file that is watched, while it is written, replaced, broken and gone."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from proxy.hub.discovery.file import FileSource, look

from .kit import heard

A, B = "http://10.0.0.1:8000", "http://10.0.0.2:8000"


async def test_it_is_read_when_it_comes_changes_and_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "orders.json"
    async with heard(FileSource(str(file), 0.005)) as ear:
        await ear.until(lambda: ear.reasons)
        assert ear.reasons[0] == f"{file} cannot be read: No such file or directory"
        file.write_text(json.dumps([A]))
        await ear.until(lambda: ear.servers == {A: 1})
        file.write_text(json.dumps({"servers": {A: 90, B: 10}}))
        await ear.until(lambda: ear.servers == {A: 90, B: 10})
        new = tmp_path / "new"
        new.write_text(json.dumps([B]))
        new.replace(file)
        await ear.until(lambda: ear.servers == {B: 1})
        file.write_text("[]")
        await ear.until(lambda: ear.servers == {})


async def test_a_file_that_is_half_written_or_gone_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "orders.json"
    file.write_text(json.dumps([A, B]))
    async with heard(FileSource(str(file), 0.005)) as ear:
        await ear.until(lambda: ear.servers)
        file.write_text(json.dumps([A, B])[:-1])
        await ear.until(lambda: ear.reasons)
        assert ear.reasons[0].startswith(f"{file}: it is not JSON, or half written: ")
        file.unlink()
        await ear.until(lambda: "No such file" in ear.reasons[-1])
        assert ear.servers == {A: 1, B: 1}
        file.write_text(json.dumps([B]))
        await ear.until(lambda: ear.servers == {B: 1})


async def test_a_folder_is_no_file(tmp_path: Path) -> None:
    async with heard(FileSource(str(tmp_path), 0.005)) as ear:
        await ear.until(lambda: ear.reasons)
        assert ear.reasons[0] == f"{tmp_path} cannot be read: Is a directory"


def test_an_old_file_is_read_once_and_a_young_one_again(tmp_path: Path) -> None:
    """A second change within one tick of the file system's clock leaves the stamp as it was."""
    file = tmp_path / "orders.json"
    file.write_text(json.dumps([A]))
    assert look(str(file), None) == (None, {A: 1})
    os.utime(file, (1_000_000, 1_000_000))
    stamp, servers = look(str(file), None)
    assert servers == {A: 1}
    assert stamp is not None
    assert look(str(file), stamp) == (stamp, None)


async def test_a_pipe_is_no_file_and_nobody_waits_for_its_writer(tmp_path: Path) -> None:
    file = tmp_path / "orders.json"
    os.mkfifo(file)
    async with heard(FileSource(str(file), 0.005)) as ear:
        try:
            async with asyncio.timeout(20):
                await ear.until(lambda: ear.reasons)
        finally:
            os.close(os.open(file, os.O_RDWR | os.O_NONBLOCK))  # whoever waits in it goes on
        assert ear.reasons[0] == f"{file} cannot be read: it is no file, but a pipe or a device"
        file.unlink()
        file.write_text(json.dumps([B]))
        await ear.until(lambda: ear.servers == {B: 1})
