"""Strangers that hold connections open: what they cannot take from the gateway."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.hub.gateway import MINIMAL, gateway, until

LIMIT = 200  # descriptors of each process
STRANGERS = 160  # to each of two ports

OTLP = """
[collector.receivers.otlp]
http = "127.0.0.1:0"
[collector.exporters.debug]
[collector.pipelines.traces]
receivers = ["otlp"]
exporters = ["debug"]
"""


@contextmanager
def silent(*ports: int) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(STRANGERS):
            for port in ports:
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        yield


def family(pid: int) -> list[int]:
    """A process and its children: whoever has the port of OTLP is among them."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def listening(pid: int) -> set[int]:
    """Ports that the process listens on."""
    inodes = {os.readlink(p) for p in Path(f"/proc/{pid}/fd").iterdir() if p.is_symlink()}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {
        int(row[1].rpartition(":")[2], 16)
        for row in rows
        if row[3] == "0A" and f"socket:[{row[9]}]" in inodes
    }


def test_a_killed_worker_is_replaced_while_strangers_hold_the_ports(tmp_path: Path) -> None:
    with gateway(tmp_path, MINIMAL.format(more=OTLP), workers=1) as hub:
        processes = family(hub.process.pid)
        for pid in processes:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
        (otlp,) = set().union(*map(listening, processes)) - {hub.admin, hub.port}
        with silent(hub.admin, otlp):
            before = hub.stats()["workers"][0]["pid"]  # an operator gets in
            os.kill(before, signal.SIGKILL)
            killed = time.monotonic()
            until(lambda: is_ready(hub.stats()["workers"], before))
            assert time.monotonic() - killed < 5, "1 s on a machine that has nothing else to do"
            assert hub.get("/") == "pong"


def is_ready(workers: list[dict[str, object]], before: int) -> bool:
    return any(w["pid"] != before and w["state"] == "ready" for w in workers)
