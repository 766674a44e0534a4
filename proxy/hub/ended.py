"""How a worker's process ended, and when the next one may start."""

from __future__ import annotations

import os

from proxy.hub.worker import Worker

BACKOFF = 0.1  # seconds before the second quick replacement, doubled each time
# Of pauses: whoever waits in the queue of a gateway with one worker waits for the worker. A start
# takes 0.2 s of CPU; nginx makes no pause at all.
BACKOFF_MAX = 0.5


def reap(worker: Worker) -> tuple[int, float]:
    """(exit status as Popen tells it, CPU seconds that the process has used)."""
    assert worker.process is not None
    _, status, usage = os.wait4(worker.pid, 0)
    worker.process.returncode = os.waitstatus_to_exitcode(status)
    return worker.process.returncode, usage.ru_utime + usage.ru_stime


def backoff(quick_deaths: int, longest: float = BACKOFF_MAX) -> float:
    """Seconds to wait after this many deaths in a row soon after the start."""
    return min(longest, BACKOFF * 2 ** (quick_deaths - 2)) if quick_deaths > 1 else 0.0


def describe_exit(status: int) -> str:
    """What Popen.returncode means, in words."""
    return f"was ended by signal {-status}" if status < 0 else f"exited with status {status}"
