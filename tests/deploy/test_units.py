"""The units as systemd reads them, and the gateway on sockets that systemd's own tool opens."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.config.load import load
from tests.hub.gateway import fetch
from tests.ports import free_port

from .tools import DEPLOY, needs, run

UNITS = DEPLOY / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
# `systemd-analyze security`: 0 is locked in, 10 is free; above 5 it says "exposed". The rules'
# service is root with one capability.
EXPOSED = {"spangate-redirect.service": 3.0}
NETWORKED = 2.0
ROOT = DEPLOY.parent


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """Sections, keys, and all that is said for a key."""
    found: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    return found


@needs("systemd-analyze")
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    """Where the program is installed; the rest of each unit as it is."""
    for path in UNITS.glob("*.*"):
        if path.suffix in (".service", ".socket"):
            text = path.read_text().replace("/opt/spangate/bin/spangate", "/bin/true")
            (tmp_path / path.name).write_text(text)
    words = [str(tmp_path / name) for name in (*SERVICES, "spangate.socket")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *words], capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    ours = [
        line for line in done.stderr.splitlines() if str(tmp_path) in line or "spangate" in line
    ]
    assert (done.returncode, ours) == (0, [])


@needs("systemd-analyze")
@pytest.mark.parametrize("name", SERVICES)
def test_they_are_locked_in(name: str) -> None:
    told = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(UNITS / name))
    found = re.search(r"exposure level for \S+: ([\d.]+)", told)
    assert found and float(found[1]) <= EXPOSED.get(name, NETWORKED), told


@pytest.mark.parametrize("name", SERVICES)
def test_only_what_needs_it_is_root_or_may_do_more(name: str) -> None:
    service = unit(name)["Service"]
    may = {
        "spangate.service": ["CAP_NET_BIND_SERVICE"],
        "spangate-redirect.service": ["CAP_NET_ADMIN"],
    }
    assert service["CapabilityBoundingSet"] == may.get(name, [""])
    is_root = "DynamicUser" not in service and "User" not in service
    assert is_root is (name == "spangate-redirect.service")


@pytest.mark.parametrize("name", ["spangate.service", "spangate-sidecar.service"])
def test_a_stop_has_time_to_drain(name: str) -> None:
    config = load(str(ROOT / "deploy" / "systemd" / "sidecar.toml"), {}).config
    service = unit(name)["Service"]
    assert float(service["TimeoutStopSec"][0]) >= config.drain_delay + config.drain_timeout + 5
    assert service["KillMode"] == ["mixed"] and service["Type"] == ["notify"]


def test_configurations_have_no_mistake_and_are_where_units_look() -> None:
    commands = [unit(name)["Service"]["ExecStart"][0] for name in SERVICES]
    for file in UNITS.glob("*.toml"):
        assert load(str(file), {}).warnings == []
        assert any(f"/etc/spangate/{file.name}" in command for command in commands)
        storage = re.findall(r'storage = "([^"]+)"', file.read_text())
        states = [unit(name)["Service"].get("StateDirectory", [""])[0] for name in SERVICES]
        assert all(any(f"/var/lib/{s}/" in place for s in states if s) for place in storage)


def test_rules_know_the_sidecar_s_user() -> None:
    user = unit("spangate-sidecar.service")["Service"]["User"][0]
    assert f"u {user} " in (UNITS / "sysusers.conf").read_text()
    redirect = unit("spangate-redirect.service")
    assert redirect["Service"]["ExecStart"][0].endswith(f"--user {user}")
    assert redirect["Unit"]["PartOf"] == ["spangate-sidecar.service"]
    assert "spangate-sidecar.service" in redirect["Unit"]["After"][0].split()


def test_the_socket_is_the_gateway_s() -> None:
    listens = unit("spangate.socket")["Socket"]["ListenStream"]
    assert listens == ["80", "443"] and (UNITS / "spangate.service").exists()


@contextmanager
def activated(file: Path, *ports: int) -> Iterator[subprocess.Popen[str]]:
    """A gateway that systemd's tool starts at the first connection."""
    listens = [word for port in ports for word in ("--listen", str(port))]
    process = subprocess.Popen(
        ["systemd-socket-activate", *listens, sys.executable, "-m", "proxy", "run", str(file),
         "--workers", "2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    assert process.stderr
    try:
        for _ in ports:
            assert "Listening on" in process.stderr.readline()
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=40)


@needs("systemd-socket-activate")
def test_the_first_connection_starts_it_and_is_served(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    file = tmp_path / "routes.toml"
    file.write_text(
        f'listen = [{{ address = ":{first}" }}, {{ address = ":{second}" }}]\n'
        '[admin]\nlisten = ""\n'
        '[[route]]\npath = "/*"\nrespond = { status = 200, body = "here" }\n'
    )
    with activated(file, first, second) as process:
        # Nobody accepts yet: the connection waits in the kernel until a worker does.
        assert [fetch(port, "/")[2] for port in (first, second)] == [b"here", b"here"]
        assert process.stderr
        said: list[str] = []
        while not said or "gateway.ready" not in said[-1]:
            said.append(process.stderr.readline())
            assert said[-1]
        assert f"http on :{first}, :{second}, " in said[-1]
        assert "warning" not in "".join(said)  # there is no socket that nobody has taken
    assert process.returncode == 0
