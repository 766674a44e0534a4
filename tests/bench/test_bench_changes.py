"""The benchmark of reloads, upgrades and killed workers, in short: nothing is noticed."""

from __future__ import annotations

import subprocess
import sys


def test_a_short_run_is_as_expected() -> None:
    words = ["--seconds", "4", "--reloads", "3", "--upgrades", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.changes", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "books of 2 generations" in done.stdout
