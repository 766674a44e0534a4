"""A slot that cannot be filled again: whoever waits at its sockets is served by another worker."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.hub.gateway import Gateway, fetch, gateway, until

# A worker that cannot start while there is a file of that name.
_UNLESS = """
import os, sys
if os.path.exists(sys.argv.pop(1)):
    sys.exit(9)
from proxy.server.__main__ import main
sys.exit(main())
"""
TRIES = 40  # connections: the kernel spreads them over all sockets by a hash of their ports


class Broken:
    """A gateway whose workers can be kept from starting."""

    def __init__(self, hub: Gateway, flag: Path) -> None:
        self.hub = hub
        self._flag = flag

    def workers(self) -> list[dict[str, Any]]:
        return [w for w in self.hub.stats()["workers"] if w["state"] == "ready"]

    def kill(self, slot: int, number: int = signal.SIGKILL) -> None:
        """End the worker in a slot; no other one can start there."""
        self._flag.touch()
        os.kill(next(w["pid"] for w in self.workers() if w["slot"] == slot), number)
        until(lambda: slot not in {w["slot"] for w in self.workers()})

    def mend(self, workers: int) -> None:
        self._flag.unlink()
        until(lambda: len(self.workers()) == workers)

    def ask_often(self) -> None:
        for _ in range(TRIES):
            assert self.hub.get() == "pong"


@contextmanager
def breakable(folder: Path, workers: int) -> Iterator[Broken]:
    flag = folder / "broken"
    command = (sys.executable, "-c", _UNLESS, str(flag))
    with gateway(folder, workers=workers, command=command) as hub:
        yield Broken(hub, flag)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_others_serve_a_slot_that_stays_empty(tmp_path: Path, number: int) -> None:
    with breakable(tmp_path, 2) as broken:
        broken.kill(0, number)
        broken.ask_often()
        broken.mend(2)
        broken.ask_often()
        assert broken.hub.end() == 0


def test_a_keeper_that_dies_is_followed_by_another(tmp_path: Path) -> None:
    with breakable(tmp_path, 3) as broken:
        for slot in (0, 1):
            broken.kill(slot)
        broken.ask_often()
        broken.mend(3)
        broken.kill(2)
        broken.kill(1)
        broken.ask_often()


def test_a_successor_serves_its_own_slot_alone_again(tmp_path: Path) -> None:
    with breakable(tmp_path, 2) as broken:
        before = {w["slot"]: listening(w["pid"]) for w in broken.workers()}
        broken.kill(0)
        keeper = broken.workers()[0]
        until(lambda: listening(keeper["pid"]) == before[1] + 1)
        broken.mend(2)
        until(lambda: {w["slot"]: listening(w["pid"]) for w in broken.workers()} == before)


def test_it_ends_as_always_while_a_slot_is_empty(tmp_path: Path) -> None:
    with breakable(tmp_path, 2) as broken:
        broken.kill(0)
        broken.ask_often()
        assert broken.hub.end() == 0
        with pytest.raises(ConnectionRefusedError):
            fetch(broken.hub.port, "/")


def listening(pid: int) -> int:
    """How many listening sockets a process has."""
    inodes = {os.readlink(p) for p in Path(f"/proc/{pid}/fd").iterdir() if p.is_symlink()}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return sum(f"socket:[{row[9]}]" in inodes for row in rows if row[3] == "0A")
