"""Commands in containment (`contained.py`), and the installed package that they run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UID = 65532
LAUNCHER = [sys.executable, str(Path(__file__).with_name("contained.py"))]
SPANGATE = [sys.executable, "-m", "proxy"]


def contained(*words: str, uid: int = UID, capabilities: tuple[str, ...] = ()) -> list[str]:
    """The command that runs `words` in containment."""
    return [*LAUNCHER, str(uid), *capabilities, "--", *words]


@cache
def why_not() -> str:
    """Why nothing can be run in containment here; "" if it can."""
    if os.geteuid():
        return "mount namespaces need root"
    words = contained(sys.executable, "-c", "import proxy.cli, encodings.idna")
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["-"])[-1]
        return f"no containment, or this Python is not for everybody to read: {last}"
    return ""


@contextmanager
def folder_for_all() -> Iterator[Path]:
    """A folder that everybody may read, as pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="spangate-") as made:
        os.chmod(made, 0o755)
        yield Path(made)


needs_containment = pytest.mark.skipif(bool(why_not()), reason=why_not() or "-")
