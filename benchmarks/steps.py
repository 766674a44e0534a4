"""What each of some commits gained: instructions a traced request, commit by commit.

    python -m benchmarks.steps [--only traced] COMMIT…

Each is checked out beside this one, compiled if it can be, and measured by its own
`benchmarks.instructions`, with this interpreter and its libraries. Half a minute to a minute each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import proc, report


def measure(commit: str, case: str, directory: Path) -> tuple[str, int]:
    """The subject of a commit, and the instructions of a request."""
    tree, found = directory / commit, directory / f"{commit}.json"
    _run(["git", "worktree", "add", "--detach", "--force", str(tree), commit], report.ROOT)
    try:
        if (tree / "setup.py").exists():
            _run([sys.executable, "setup.py", "build_ext", "--inplace"], tree)
        command = [sys.executable, "-m", "benchmarks.instructions", "--only", case]
        _run([*command, "--json", str(found)], tree)
    finally:
        _run(["git", "worktree", "remove", "--force", str(tree)], report.ROOT)
    subject = _run(["git", "log", "-1", "--format=%s", commit], report.ROOT).strip()
    return subject, int(json.loads(found.read_text())["instructions"][case])


def _run(command: Sequence[str], where: Path) -> str:
    env = {**os.environ, "PYTHONPATH": str(where)}
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("commits", nargs="+")
    parser.add_argument("--only", default="traced")
    options = parser.parse_args(arguments)
    proc.stop_all_when_ended()
    print(f"| commit | what | instructions, {options.only} | gained |\n|---|---|---:|---:|")
    before = 0
    with tempfile.TemporaryDirectory(prefix="spangate-steps-") as directory:
        for commit in options.commits:
            subject, cost = measure(commit, options.only, Path(directory))
            gained = f"{before - cost:,}" if before else ""
            print(f"| {commit[:7]} | {subject} | {cost:,} | {gained} |", flush=True)
            before = cost
    return 0


if __name__ == "__main__":
    sys.exit(main())
