"""`python -m proxy.collector`: a collector process. The hub starts it with its descriptors."""

from __future__ import annotations

import argparse
import asyncio
import gc
import mmap
import os
import signal
import socket
import sys

from proxy.collector import heap
from proxy.collector.process import Collector
from proxy.log import begin
from proxy.runner import run
from proxy.web import ports


def main() -> int:
    """Parse the command line that the hub wrote, and collect until told to stop."""
    parser = argparse.ArgumentParser(prog="spangate collector")
    parser.add_argument("--link", type=int, required=True, help="descriptor of the link")
    parser.add_argument("--rings", type=int, required=True, help="descriptor that rings come by")
    parser.add_argument("--page", type=int, required=True, help="descriptor of the books' numbers")
    parser.add_argument("--follow", default="", help="hubs that hand over to this one's")
    options = parser.parse_args()
    ports.follow({int(pid) for pid in options.follow.split(",") if pid})
    page = mmap.mmap(options.page, 0)
    os.close(options.page)
    rings = socket.socket(fileno=options.rings)
    link = socket.socket(fileno=options.link)
    # The hub says when; whoever signals the whole group means the hub.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    begin("collector")
    heap.keep()
    return run(_collect(page, rings, link))


async def _collect(page: mmap.mmap, rings: socket.socket, link: socket.socket) -> int:
    """Until the hub says stop, or is gone; the exit code."""
    collector = Collector(page, rings)
    await asyncio.get_running_loop().create_unix_connection(lambda: collector, sock=link)
    gc.freeze()
    await collector.obey()
    await collector.said()
    return 0


if __name__ == "__main__":
    sys.exit(main())
