"""`spangate run FILE --workers 1` with another command for the worker.

python -m benchmarks.launch FILE COMMAND…

The real hub starts the worker with COMMAND, so that it can run under valgrind or with a library
loaded before it.
"""

from __future__ import annotations

import sys

from proxy.hub.main import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1], 1, sys.argv[2:]))
