"""OTLP on its way in: checking a request, reading JSON, walking through fields.

Instructions by callgrind, for a request of 100 spans of 400 bytes: how many more there are when
each is done MANY times than when it is done FEW times.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.callgrind import total
from benchmarks.collector_ends import request

FEW, MANY = 20, 60


def _works() -> dict[str, Callable[[], object]]:
    from proxy.otlp import json, parts, wire

    payload = request(100)
    text = json.request_to_json("traces", payload)
    return {
        "checked": lambda: parts.checked("traces", payload),
        "counted": lambda: wire.count("traces", payload),
        "from JSON": lambda: json.request_from_json("traces", text),
    }


def _instructions(name: str, times: int, folder: str) -> int:
    file = Path(folder, f"{name}.{times}")
    valgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={file}", "-q"]
    command = [*valgrind, sys.executable, "-m", "benchmarks.micro_otlp", name, str(times)]
    environ = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run(command, check=True, capture_output=True, env=environ)
    return total(file)


def main() -> None:
    if len(sys.argv) == 3:
        work = _works()[sys.argv[1]]
        for _ in range(int(sys.argv[2])):
            work()
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in _works():
            few, many = (_instructions(name, times, folder) for times in (FEW, MANY))
            print(f"{name:20} {(many - few) / (MANY - FEW) / 100:9,.0f} instructions a span")


if __name__ == "__main__":
    main()
