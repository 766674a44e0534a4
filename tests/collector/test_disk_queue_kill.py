"""A real process that writes and delivers is killed, again and again, in the middle of it.

What `put` has said yes to is delivered; what comes twice is what a sender had under way.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.collector.batch import Batch
from proxy.collector.parts import Queue as Settings
from proxy.collector.queues.disk.queue import DiskQueue
from proxy.config.units import Size
from tests.collector.kit import Place

DEADLINE = 60.0  # seconds
ROUNDS = 4


def queue(directory: str) -> DiskQueue:
    """Small files, so that kills meet the making and the deleting of them as well."""
    settings = Settings(storage=directory, storage_size=Size(2 * 1024 * 1024), fsync="interval")
    return DiskQueue(settings, Place("exporter", "otlp_http").context)


def say(text: str) -> None:
    os.write(1, f"{text}\n".encode())


async def work(directory: str, number: int) -> None:
    """Say "p N" after N was put; say "d N" before N is done, as the other side has it then."""
    line = queue(directory)
    await line.start()
    while True:
        for _ in range(5):
            if line.put(Batch("traces", f"{number:08d}".encode() + b"x" * (number % 7000), 1)):
                say(f"p {number}")
                number += 1
        for _ in range(4 + number % 3):
            batch = await line.get()
            assert batch is not None
            say(f"d {int(batch.payload[:8])}")
            line.done(batch)
            if line.items("traces") == 0:
                break


async def deliver_rest(directory: str) -> list[int]:
    line = queue(directory)
    await line.start()
    rest = []
    async with asyncio.timeout(DEADLINE):
        while line.items("traces"):
            batch = await line.get()
            assert batch is not None
            rest.append(int(batch.payload[:8]))
            line.done(batch)
    line.drain()
    await line.stop()
    return rest


@pytest.mark.parametrize("lines", [7, 2001])
def test_killed_while_it_writes_and_delivers(tmp_path: Path, lines: int) -> None:
    put: list[int] = []
    delivered: list[int] = []
    for round in range(ROUNDS):
        number = max(put, default=-1) + 2  # one may be there that it had no time to tell of
        command = [sys.executable, "-m", __name__, str(tmp_path), str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(lines + round)]
            process.send_signal(signal.SIGKILL)
            told += process.stdout.readlines()
        for line in told:
            kind, _, value = line.decode().partition(" ")
            (put if kind == "p" else delivered).append(int(value))
    delivered += asyncio.run(deliver_rest(str(tmp_path)))
    assert set(put) <= set(delivered)
    untold = set(delivered) - set(put)
    assert len(untold) <= ROUNDS
    assert len(delivered) - len(set(delivered)) <= ROUNDS  # one sender, one batch, each time
    first = list(dict.fromkeys(delivered))
    assert first == sorted(first)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], int(sys.argv[2])))
