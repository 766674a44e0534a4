"""wrk as a function: so many seconds of the workload against a port, and what came of it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import peers, workload

SCRIPT = Path(__file__).with_name("load.lua")
CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Load:
    """One run of wrk. Latencies in seconds, as seen by a closed loop of CONNECTIONS clients."""

    requests: int
    seconds: float
    errors: int  # connect, read, write, timed out, and answers that are not 2xx or 3xx
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def run(
    port: int | str,
    seconds: float,
    core: int | set[int],
    directory: Path,
    connections: int = CONNECTIONS,
    requests: Sequence[bytes] = (),
) -> Load:
    """Load `port`, or what a URL says, for about `seconds` (wrk counts in whole ones, at least 1)
    with `requests`, all of one size, or with those of the workload."""
    wrk = peers.find("wrk")
    if wrk is None:
        raise SystemExit("the load is made by wrk: install it (apt-get install wrk)")
    cores = {core} if isinstance(core, int) else core
    url = port if isinstance(port, str) else f"http://127.0.0.1:{port}/"
    prepared = directory / "requests"
    size = workload.write(prepared, requests)
    done = subprocess.run(
        [
            *(wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"),
            *("--latency", "-s", str(SCRIPT), url, "--"),
            *(str(prepared), str(size)),
        ],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("JSON "))
    got = json.loads(line[5:])
    return Load(
        requests=got["requests"],
        seconds=got["duration_us"] / 1e6,
        errors=sum(got[key] for key in ("connect", "read", "write", "status", "timeout")),
        p50=got["p50_us"] / 1e6,
        p99=got["p99_us"] / 1e6,
    )
