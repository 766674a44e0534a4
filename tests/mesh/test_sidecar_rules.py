"""`spangate sidecar --redirect`: rules are there for as long as a sidecar is, and no longer."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.gateway import children, is_alive, until
from tests.mesh.hosts import DEADLINE, V4, Host, hosts, needs_namespaces
from tests.mesh.relay import close
from tests.mesh.test_install import spangate
from tests.mesh.test_redirect import has

pytestmark = [needs_namespaces, has("nft"), pytest.mark.timeout(300)]
APP = ["--app", "8000"]
FULL = """
drain_timeout = "1s"
[mesh]
name     = "orders"
app      = "127.0.0.1:8000"
redirect = "nft"
exclude  = { ports = [22], networks = ["169.254.169.254/32"] }
"""


@pytest.fixture
def pod() -> Iterator[Host]:
    with hosts("pod") as (host,):
        yield host


@pytest.fixture
def full(tmp_path: Path) -> Path:
    file = tmp_path / "full.toml"
    file.write_text(FULL)
    return file


def rules(pod: Host) -> str:
    """Those of ours; "" = there are none."""
    return pod.run("nft", "list", "table", "inet", "spangate").stdout


@contextlib.contextmanager
def redirecting(
    pod: Host, *words: str, cwd: Path | None = None, told: list[str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A sidecar, once it is ready; what follows it is ended too. `told`: for lines before that."""
    here = ["ip", "netns", "exec", pod.name]
    process = subprocess.Popen(
        [*here, sys.executable, "-m", "proxy", "sidecar", "--redirect", *words],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd,
    )  # fmt: skip
    assert process.stdout
    lines = told if told is not None else []
    try:
        while "gateway.ready" not in (line := process.stdout.readline()):
            lines.append(line)
            assert line, f"it has ended: {''.join(lines)}"
        yield process
    finally:
        process.terminate()  # an upgraded one passes it on
        process.communicate(timeout=DEADLINE)  # until the last of them has closed it


@pytest.mark.parametrize("port", [15006, 15001, 9901])
def test_a_start_that_fails_leaves_none(pod: Host, port: int) -> None:
    other = pod.listen(V4, "0.0.0.0", port)
    code, told = spangate(pod, "sidecar", "--redirect", *APP)
    close(other)
    assert code == 1 and f"{port}: " in told and "cannot listen on" in told
    assert rules(pod) == ""


def test_one_that_fails_beside_a_sidecar_leaves_that_its_rules(pod: Host, full: Path) -> None:
    with redirecting(pod, str(full)):
        before = rules(pod)
        assert "169.254.169.254" in before
        code, told = spangate(pod, "sidecar", "--redirect", *APP)
        assert code == 1 and "cannot listen on" in told
        assert rules(pod) == before
        assert spangate(pod, "redirect", "check", str(full))[0] == 0
    assert rules(pod) == ""


def test_they_are_the_next_one_s_after_an_upgrade(pod: Host, full: Path) -> None:
    with redirecting(pod, str(full)) as process:
        told = upgraded(pod, process.pid)
        assert process.wait(DEADLINE) == 0
        assert spangate(pod, "redirect", "check", str(full))[0] == 0
        os.kill(told, signal.SIGTERM)
        process.communicate(timeout=DEADLINE)
        assert rules(pod) == ""


@contextlib.contextmanager
def waiting(pod: Host) -> Iterator[socket.socket]:
    """A request that the sidecar in charge has taken, and that the application does not answer
    until what is given is closed."""
    app = pod.listen(V4, "127.0.0.1", 8000)
    with pod.new_socket(V4) as client, app:
        client.connect(("127.0.0.1", 15006))
        client.sendall(b"GET / HTTP/1.1\r\nHost: orders\r\n\r\n")
        asked, _ = app.accept()
        app.close()
        with asked:
            assert asked.recv(4096)
            yield asked


def upgraded(pod: Host, pid: int) -> int:
    code, told = spangate(pod, "upgrade", str(pid))
    assert code == 0, told
    return int(told)


def killed(pid: int) -> None:
    """It, and its workers, which end when it has and nothing is under way."""
    family = [pid, *children(pid, "proxy.server")]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not any(is_alive(one) for one in family))


def test_they_go_with_the_last_one_though_the_next_one_was_killed(pod: Host, full: Path) -> None:
    full.write_text(FULL.replace('"1s"', '"60s"'))
    with redirecting(pod, str(full)) as process:
        with waiting(pod):
            killed(upgraded(pod, process.pid))
            assert "redirect to :15006" in rules(pod)  # nothing passes by what may come back
        assert process.wait(DEADLINE) == 0
        assert rules(pod) == ""


def test_they_stay_where_one_after_the_killed_one_is_in_charge(pod: Host, full: Path) -> None:
    full.write_text(FULL.replace('"1s"', '"60s"'))
    with redirecting(pod, str(full)) as process:
        with waiting(pod):
            second = upgraded(pod, process.pid)
            with waiting(pod):  # so that it has not ended by itself
                third = upgraded(pod, second)
                os.kill(second, signal.SIGKILL)
        assert process.wait(DEADLINE) == 0
        assert spangate(pod, "redirect", "check", str(full))[0] == 0
        os.kill(third, signal.SIGTERM)
        process.communicate(timeout=DEADLINE)
        assert rules(pod) == ""


def test_an_upgrade_that_fails_leaves_them(pod: Host, full: Path) -> None:
    with redirecting(pod, str(full)) as process:
        other = pod.listen(V4, "127.0.0.1", 15007)
        full.write_text(FULL + '[[listen]]\nname = "more"\naddress = "127.0.0.1:15007"\n')
        code, told = spangate(pod, "upgrade", str(process.pid))
        close(other)
        assert code == 1 and "cannot listen on 127.0.0.1:15007" in told
        full.write_text(FULL)
        assert spangate(pod, "redirect", "check", str(full))[0] == 0
    assert rules(pod) == ""


def test_where_it_has_no_file_another_s_does_not_count(pod: Host, tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text('[mesh]\ninbound = ":1234"\nredirect = "nft"\n')
    with redirecting(pod, *APP, cwd=tmp_path):
        assert "15006" in rules(pod)
        assert "1234" not in rules(pod)


@pytest.mark.parametrize("said", ["", 'redirect = "none"'])
def test_a_file_that_leaves_it_open_means_nft(pod: Host, tmp_path: Path, said: str) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(f'[mesh]\nname = "x"\n{said}\n')
    with redirecting(pod, str(file)):
        assert "redirect to :15006" in rules(pod)
    assert rules(pod) == ""


# The first call of nft says so in one pipe and goes on when it is told to in another.
SLOW = """#!/bin/sh
if mkdir {0}/first 2>/dev/null; then echo >{0}/begun; read go <{0}/go; fi
exec {1} "$@"
"""


def test_one_that_is_stopped_while_it_makes_them_removes_them(pod: Host, tmp_path: Path) -> None:
    slow = tmp_path / "nft"
    slow.write_text(SLOW.format(tmp_path, shutil.which("nft")))
    slow.chmod(0o755)
    for name in ("begun", "go"):
        os.mkfifo(tmp_path / name)
    path = f"PATH={tmp_path}:{os.environ['PATH']}"
    words = ["env", path, sys.executable, "-m", "proxy", "sidecar", "--redirect", *APP]
    process = subprocess.Popen(["ip", "netns", "exec", pod.name, *words])
    (tmp_path / "begun").read_text()
    process.terminate()
    (tmp_path / "go").write_text("\n")
    assert process.wait(DEADLINE) == 0
    assert rules(pod) == ""


def test_ebpf_has_none_to_make(pod: Host, tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text('[mesh]\nredirect = "ebpf"\n')
    code, told = spangate(pod, "sidecar", str(file), "--redirect")
    assert code == 2 and "Usage: spangate sidecar [OPTIONS] [FILE]\n" in told
    assert "redirect install" not in told and "spangate mesh run -- COMMAND" in told


def test_root_is_told_what_can_be_done(pod: Host) -> None:
    """`sidecar` has no option --user."""
    told: list[str] = []
    with redirecting(pod, *APP, told=told):
        (warning,) = [line for line in told if line.startswith("warning: ")]
    assert "what root sends is not redirected" in warning
    assert "run the sidecar as another user" in warning
    assert "spangate redirect install --user NAME" in warning
