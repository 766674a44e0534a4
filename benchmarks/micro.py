"""All micro-benchmarks, one after the other: `python -m benchmarks.micro [name …]`.

Each is a module `micro_<name>.py` of its own with a `main()`, run in a fresh interpreter on the
proxies' core, so that one's caches and garbage are not another's.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import proc


def main(names: Sequence[str]) -> int:
    """Run those named, or all; exit code 1 if one failed."""
    found = sorted(path.stem for path in Path(__file__).parent.glob("micro_*.py"))
    failed = []
    os.sched_setaffinity(0, {proc.cores()[0]})
    for module in found:
        if names and module.removeprefix("micro_") not in names:
            continue
        print(f"\n{module.removeprefix('micro_')}", flush=True)
        done = subprocess.run([sys.executable, "-m", f"benchmarks.{module}"], check=False)
        if done.returncode:
            failed.append(module)
    if failed:
        print("failed:", *failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
