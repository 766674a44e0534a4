"""Work on certificates in a process of its own, once or twice an hour.

What it needs takes 13 MB that a hub would keep for ever; starting a process takes a quarter of a
second of CPU, and gives all of it back. The question goes in by a pipe and the answer comes out by
one, so that keys are on no disk and in no list of processes.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Protocol

import msgspec

from proxy.mesh.svid import Svid

PATIENCE = 60.0  # seconds; a machine that starts everything at once is slow
COMMAND = (sys.executable, "-m", "proxy.mesh.tasks")


class Ask(Protocol):
    """How a source has its work done."""

    def __call__(self, task: str, *arguments: object) -> Svid:
        """The Svid that the task gives; ValueError in words if there is none."""


class Answer(msgspec.Struct):
    """What comes back."""

    svid: Svid | None = None
    error: str = ""


def ask(task: str, *arguments: object) -> Svid:
    """Have it done by another process, and wait; ValueError."""
    question = msgspec.msgpack.encode((task, arguments))
    try:
        done = subprocess.run(
            COMMAND, input=question, stdout=subprocess.PIPE, timeout=PATIENCE, check=False
        )
        answer = msgspec.msgpack.decode(done.stdout, type=Answer)
    except subprocess.TimeoutExpired:
        raise ValueError(f"there was no answer within {PATIENCE:g} s") from None
    except msgspec.DecodeError:
        raise ValueError(f"its process ended with code {done.returncode}") from None
    if answer.svid is None:
        raise ValueError(answer.error)
    return answer.svid
