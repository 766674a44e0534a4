"""What a sidecar costs that has nothing to do: `python -m benchmarks.idle_sidecar [--seconds 15]`.

`spangate sidecar` with one worker and the collector in the hub, without an identity and with one of
a local authority: PSS some seconds after it is ready, CPU of the seconds that follow by schedstat,
so that neighbours are not in it, and PSS again once somebody has asked the admin port: a probe and
a scrape, and then a page. With bytecode on the disk, as pip leaves it: who compiles what it loads
keeps a megabyte of that.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

from benchmarks import peers, proc
from benchmarks.idle import shares

free_port = import_module("tests.ports").free_port  # tests are not typed
REST = 8.0  # seconds until what was needed to start has settled
LOADED = 4.0  # seconds after the first visitor
ENV = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
CONFIG = """
[mesh]
name = "idle"
app = "127.0.0.1:{app}"
inbound = "127.0.0.1:0"
outbound = "127.0.0.1:0"
{identity}
[admin]
listen = "127.0.0.1:{admin}"
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle_sidecar", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    seconds = parser.parse_args().seconds
    proc.stop_all_when_ended()
    print("| | hub | worker | together |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        with sidecar(Path(folder), ""):
            pass  # that has written the bytecode
        for name, identity in (
            ("without identity", ""),
            ("with identity", f'identity = {{ ca = "local://{folder}/ca" }}'),
        ):
            with sidecar(Path(folder), identity) as (pids, admin):
                time.sleep(REST)
                print(row(f"PSS, {name}", memory(pids), "MB"))
                print(row(f"CPU, {name}", shares(pids, seconds), "%"))
                for visit, paths in (("probe", ("ready", "metrics")), ("page", ("stats",))):
                    for path in paths:
                        urllib.request.urlopen(f"http://127.0.0.1:{admin}/{path}").read()
                    time.sleep(LOADED)
                    print(row(f"PSS, {name}, after a {visit}", memory(pids), "MB"))
    return 0


@contextlib.contextmanager
def sidecar(folder: Path, identity: str) -> Iterator[tuple[dict[str, int], int]]:
    """Its processes by what they are, and the port of its pages."""
    file, admin = folder / "routes.toml", free_port()
    file.write_text(CONFIG.format(app=free_port(), admin=admin, identity=identity))
    words = [str(peers.ENTRY), "sidecar", str(file)]
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=ENV) as started:
        assert started.stderr
        while b"ready: " not in (line := started.stderr.readline()):
            assert line, "the sidecar has ended"
        hub, worker = proc.tree(started.pid)
        yield {"hub": hub, "worker": worker}, admin
        started.terminate()


def memory(pids: Mapping[str, int]) -> dict[str, float]:
    return {kind: float(proc.memory([pid]).pss) for kind, pid in pids.items()}


def row(name: str, found: Mapping[str, float], unit: str) -> str:
    def shown(value: float) -> str:
        return f"{value / 1e6:.1f} MB" if unit == "MB" else f"{value:.2%}"

    cells = map(shown, (found["hub"], found["worker"], sum(found.values())))
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
