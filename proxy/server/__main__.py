"""`python -m proxy.server`: a worker process. The hub starts it with the descriptors it needs."""

from __future__ import annotations

import argparse
import asyncio
import gc
import mmap
import os
import signal
import socket
import sys

from proxy.log import begin
from proxy.runner import run
from proxy.server.keeping import Keeping
from proxy.server.ring import Ring
from proxy.server.worker import Worker


def main() -> int:
    """Parse the command line that the hub wrote, and serve until drained."""
    parser = argparse.ArgumentParser(prog="spangate worker")
    parser.add_argument("--link", type=int, required=True, help="descriptor of the link")
    parser.add_argument("--ring", type=int, required=True, help="descriptor of the shared memory")
    parser.add_argument("--wake", type=int, required=True, help="descriptor that wakes its reader")
    parser.add_argument("--loans", type=int, required=True, help="where sockets of others come")
    parser.add_argument("--id", type=int, default=0)
    parser.add_argument("--slot", type=int, default=0)
    parser.add_argument("--socket", action="append", default=[], metavar="ADDRESS=FD")
    options = parser.parse_args()
    sockets = []
    for item in options.socket:
        address, _, fd = item.rpartition("=")
        sockets.append((address, socket.socket(fileno=int(fd))))
    ring = Ring(mmap.mmap(options.ring, 0), options.wake)
    os.close(options.ring)
    link = socket.socket(fileno=options.link)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C reaches the whole group; the hub acts
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    begin(f"worker {options.slot}")
    loans = socket.socket(fileno=options.loans)
    return run(_serve((options.id, options.slot), ring, sockets, link, loans))


async def _serve(
    place: tuple[int, int],
    ring: Ring,
    sockets: list[tuple[str, socket.socket]],
    link: socket.socket,
    loans: socket.socket,
) -> int:
    """Serve until drained; the exit code. `place`: number of the worker, and of its slot."""
    loop = asyncio.get_running_loop()
    worker = Worker(place[0], ring, sockets, place[1])
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
