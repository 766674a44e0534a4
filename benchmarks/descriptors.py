"""Strangers hold every descriptor they can get: is a killed worker replaced all the same?

    python -m benchmarks.descriptors [--report] [--connections 1100] [--limit 1024]

The gateway may open LIMIT files, hard and soft. So many connections are made to its admin port,
and as many to its OTLP port, and say nothing. Then its worker gets a kill -9, and the time is
taken until a request is answered by another one. Exit code 1 if that is later than a second,
unless `--report`.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks import bed, proc, stalls_bed
from benchmarks.stalls_bed import Gateway, Options

BOUND = 1.0  # seconds
PATIENCE = 20.0
SETTLE = 1.0  # seconds for the connections to be accepted, or not
REQUEST = b"GET /ping HTTP/1.1\r\nHost: descriptors.test\r\nConnection: close\r\n\r\n"


def silent(stack: ExitStack, port: int, number: int) -> None:
    """Connections that say nothing; those that the port no longer takes are under way."""
    for _ in range(number):
        link = stack.enter_context(socket.socket())
        link.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            link.connect(("127.0.0.1", port))


def replaced(gateway: Gateway) -> float:
    """Seconds from the worker's death to the first answer; inf if there was none in PATIENCE."""
    begun = time.monotonic()
    os.kill(gateway.kinds()["worker"], signal.SIGKILL)
    while time.monotonic() - begun < PATIENCE:
        with contextlib.suppress(OSError, ValueError):
            status, _, _ = bed.ask(gateway.port, REQUEST)
            if status == 200:
                return time.monotonic() - begun
        time.sleep(0.005)
    return math.inf


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 1 if the bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.descriptors", description=__doc__)
    parser.add_argument("--connections", type=int, default=1100, help="to each of the two ports")
    parser.add_argument("--limit", type=int, default=1024, help="open files of each process")
    parser.add_argument("--report", action="store_true", help="only print, whatever comes")
    options = parser.parse_args(arguments)
    proc.stop_all_when_ended()
    limited = ("sh", "-c", f'ulimit -n {options.limit}; exec "$@"', "sh")
    with (
        stalls_bed.gateway(Options(watched=False, before=limited)) as gateway,
        ExitStack() as stack,
    ):
        quiet = replaced(gateway)
        print(f"without connections: an answer {quiet:.2f} s after the kill", flush=True)
        for port in (gateway.admin, gateway.otlp):
            silent(stack, port, options.connections)
        time.sleep(SETTLE)
        for kind, pid in gateway.kinds().items():
            print(f"{kind:10} {proc.descriptors(pid)} files open of {options.limit}", flush=True)
        waited = replaced(gateway)
    print(f"{options.connections:,} silent connections to each port: {waited:.2f} s")
    return 0 if waited <= BOUND or options.report else 1


if __name__ == "__main__":
    sys.exit(main())
