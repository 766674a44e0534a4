"""Instructions of one call, counted by callgrind: for parts of a request, not for whole ones.

A benchmark that wants it hands `run` its own module: that starts the module again under valgrind,
where `count` works. Instructions are the same on a busy machine as on a quiet one.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from itertools import starmap
from pathlib import Path

SOURCE = Path(__file__).with_name("calls.c")
WHERE = "SPANGATE_CALLS"  # the directory of the library and of callgrind's dumps
WARM, CALLS = 20, 200
_TOTAL = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


def run(module: str) -> int:
    """Start `python -m module` under valgrind and wait for it; its exit code."""
    with tempfile.TemporaryDirectory(prefix="calls-") as directory:
        library = Path(directory) / "calls.so"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"]
        valgrind.append(f"--callgrind-out-file={directory}/dump")
        environment = {**os.environ, WHERE: directory, "PYTHONHASHSEED": "0"}
        command = [*valgrind, sys.executable, "-m", module]
        return subprocess.run(command, env=environment, check=False).returncode


def is_counting() -> bool:
    """Whether this process was started by `run`."""
    return WHERE in os.environ


def count(function: Callable[..., object], arguments: Sequence[tuple[object, ...]]) -> int:
    """Instructions of one call for each of WARM + CALLS `arguments`, less the WARM first ones.

    A loop in C makes the calls, which adds some hundred to a compiled function.
    """
    library, directory = _library()
    for some in arguments[:WARM]:
        function(*some)
    calls = starmap(function, arguments[WARM:])
    nowhere = deque[object](maxlen=0)
    library.begin()
    nowhere.extend(calls)
    library.end(b"count")
    newest = max(directory.glob("dump.*"), key=lambda path: path.stat().st_mtime_ns)
    found = _TOTAL.findall(newest.read_text())
    newest.unlink()
    return round(int(found[-1]) / CALLS)


def same(*arguments: object) -> list[tuple[object, ...]]:
    """What `count` takes, where each call has the same arguments."""
    return [arguments] * (WARM + CALLS)


@cache
def _library() -> tuple[ctypes.CDLL, Path]:
    directory = Path(os.environ[WHERE])
    return ctypes.CDLL(str(directory / "calls.so")), directory
