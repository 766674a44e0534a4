"""`python -m proxy.server`: a worker process. The hub starts it with the descriptors it needs."""

from __future__ import annotations

import asyncio
import gc
import mmap
import os
import signal
import socket
import sys

from proxy.log import begin
from proxy.runner import run
from proxy.server.crowd import Crowd
from proxy.server.keeping import Keeping
from proxy.server.ring import Ring
from proxy.server.worker import Worker
from proxy.upstream.board import Board


def main() -> int:
    """Serve until drained, with what the hub wrote into the command line: a name, its value, …

    Read by hand: argparse keeps 0.3 MB in each worker's memory (benchmarks.idle).
    """
    said = list(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    numbers = {name: int(value) for name, value in said if name != "--socket"}
    sockets = []
    for address, _, fd in (value.rpartition("=") for name, value in said if name == "--socket"):
        sockets.append((address, socket.socket(fileno=int(fd))))
    ring = Ring(mmap.mmap(numbers["--ring"], 0), numbers["--wake"])
    os.close(numbers["--ring"])
    worker_rates = numbers["--rates"]
    board = _board(numbers["--board"], numbers["--place"])
    link = socket.socket(fileno=numbers["--link"])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches the whole group; the hub acts
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    place = numbers.get("--id", 0), numbers.get("--slot", 0)
    begin(f"worker {place[1]}")
    loans = socket.socket(fileno=numbers["--loans"])
    worker = Worker(place[0], ring, sockets, place[1], board)
    worker.limiter.share(worker_rates)
    if numbers["--place"] >= 0:
        worker.clients.share(Crowd(mmap.mmap(numbers["--crowd"], 0), numbers["--place"]))
    os.close(numbers["--crowd"])
    return run(_serve(worker, link, loans))


def _board(memory: int, place: int) -> Board | None:
    """What this worker shares with others; None if there was no place left."""
    board = Board(mmap.mmap(memory, 0), place) if place >= 0 else None
    os.close(memory)
    return board


async def _serve(worker: Worker, link: socket.socket, loans: socket.socket) -> int:
    """Serve until drained; the exit code."""
    loop = asyncio.get_running_loop()
    Keeping(worker, loans).start()
    worker.orders.freezes = True
    loop.add_signal_handler(signal.SIGTERM, worker.drain)
    await loop.create_unix_connection(lambda: worker.link, sock=link)
    worker.run()
    # What is alive now lives as long as the process, and a request leaves no cycles behind, so
    # the collector need look neither often nor at everything.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    await worker.stopped.wait()
    while worker.link.unsent:
        await asyncio.sleep(0.01)
    worker.link.close()
    return 1 if worker.failed else 0


if __name__ == "__main__":
    sys.exit(main())
