"""`python -m proxy.messaging`: the process of queues. The hub starts it with its descriptors."""

from __future__ import annotations

import asyncio
import mmap
import os
import signal
import socket
import sys

from proxy.log import begin
from proxy.messaging.process import Process
from proxy.runner import run
from proxy.server.ring import Ring


def main() -> int:
    """Run with what the hub wrote into the command line: a name, its value, …"""
    numbers = {n: int(v) for n, v in zip(sys.argv[1::2], sys.argv[2::2], strict=True)}
    ring = Ring(mmap.mmap(numbers["--ring"], 0), numbers["--wake"])
    os.close(numbers["--ring"])
    listening = socket.socket(fileno=numbers["--listen"])
    link = socket.socket(fileno=numbers["--link"])
    # The hub says when; whoever signals the whole group means the hub.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    begin("messaging")
    return run(_serve(ring, listening, link))


async def _serve(ring: Ring, listening: socket.socket, link: socket.socket) -> int:
    process = Process(ring, listening)
    await asyncio.get_running_loop().create_unix_connection(lambda: process.link, sock=link)
    await process.run()
    while process.link.unsent:
        await asyncio.sleep(0.01)
    process.link.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
