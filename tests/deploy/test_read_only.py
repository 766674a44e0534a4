"""The gateway, the collector and the sidecar where nothing can be written and nobody is root."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.hub.gateway import fetch
from tests.ports import free_port

from .places import ROOT, SPANGATE, UID, contained, folder_for_all, needs_containment

pytestmark = [needs_containment, pytest.mark.timeout(300)]
DEADLINE = 60.0


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_for_all() as made:
        yield made


@contextmanager
def running(*words: str, ready: str) -> Iterator[subprocess.Popen[str]]:
    """While it runs in containment; it has said `ready`."""
    process = subprocess.Popen(
        contained(*SPANGATE, *words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stderr
    said: list[str] = []
    try:
        while ready not in (line := process.stderr.readline()):
            said.append(line)
            assert line, f"it has ended: {''.join(said)}"
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE)


@pytest.mark.parametrize("place", ["/", "/tmp", "/var/tmp", "/dev/shm", "/run", "."])
def test_nothing_can_be_written(place: str) -> None:
    attempt = f"import os, sys; os.umask(0); open({place!r} + '/spangate-was-here', 'w')"
    for uid in (UID, 0):
        done = subprocess.run(
            contained(sys.executable, "-c", attempt, uid=uid),
            capture_output=True, text=True, check=False, cwd=ROOT,
        )  # fmt: skip
        assert "Read-only file system" in done.stderr or "Permission denied" in done.stderr
        assert uid or "Read-only" in done.stderr


def test_it_has_no_capability_and_is_nobody() -> None:
    read = "print(open('/proc/self/status').read())"
    done = subprocess.run(
        contained(sys.executable, "-c", read), capture_output=True, text=True, check=True, cwd=ROOT
    )
    said = dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)
    assert said["Uid"].split() == said["Gid"].split() == [str(UID)] * 4
    assert {said[f"Cap{of}"] for of in ("Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert said["NoNewPrivs"] == "1"


def test_a_gateway_serves(folder: Path) -> None:
    port, admin = free_port(), free_port()
    file = folder / "routes.toml"
    file.write_text(
        f'listen = [{{ address = ":{port}" }}, '
        '{ address = ":0", tls = { self_signed = true } }]\n'
        f'[admin]\nlisten = "127.0.0.1:{admin}"\n'
        '[[route]]\npath = "/*"\nrespond = { status = 200, body = "here" }\n'
    )
    with running("run", str(file), "--workers", "2", ready="gateway.ready") as process:
        assert fetch(port, "/x")[2] == b"here"
        words = [*SPANGATE, "ready", "--admin", f"http://127.0.0.1:{admin}"]
        asked = subprocess.run(
            contained(*words), capture_output=True, text=True, check=False, cwd=ROOT
        )
        assert (asked.returncode, asked.stdout) == (0, "ready\n"), asked.stderr
        assert json.loads(fetch(admin, "/stats")[2])["workers"][0]["state"] == "ready"
    assert process.returncode == 0


def test_a_collector_receives(folder: Path) -> None:
    http, admin = free_port(), free_port()
    file = folder / "routes.toml"
    file.write_text(
        f'[admin]\nlisten = "127.0.0.1:{admin}"\n'
        f'[collector.receivers.otlp]\nhttp = "127.0.0.1:{http}"\n'
        "[collector.exporters.debug]\n"
        '[collector.pipelines.traces]\nreceivers = ["otlp"]\nexporters = ["debug"]\n'
    )
    with running("collect", str(file), ready="ready") as process:
        assert fetch(admin, "/ready")[0] == 200
        assert fetch(http, "/v1/traces", {"Content-Type": "application/json"}, "POST")[0] in (
            200,
            400,
        )
    assert process.returncode == 0
