"""`spangate run` for as long as somebody holds the other end of stdin.

A parent that is killed cannot end its children, but the kernel closes its pipes. So the gateway of
a demo that is gone gets TERM, as from a terminal, and takes its workers along.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from proxy.hub.main import run


def _watch() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    threading.Thread(target=_watch, name="parent", daemon=True).start()
    file, workers = sys.argv[1:]
    return run(file, int(workers))


if __name__ == "__main__":
    sys.exit(main())
