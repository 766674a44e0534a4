"""`spangate mesh run -- COMMAND` in namespaces of the tests' own, with a bpffs of their own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.mesh import cgroups, ebpf
from tests.hub.gateway import until
from tests.mesh.hosts import DEADLINE, Host, hosts, needs_namespaces
from tests.mesh.relay import app

ROOT = Path(__file__).parents[2]
CLIENT = str(Path(__file__).with_name("ebpf_client.py"))
NOBODY = "65534"
FAILS = """
import errno
from proxy.mesh import ebpf
from proxy.mesh.rules import Redirect
try:
    with ebpf.redirected(Redirect("ebpf", 15006, 15001, (), (), (), (), ())):
        raise BlockingIOError(errno.EAGAIN, "no more processes")
except Exception as error:
    print(type(error).__name__, error)
"""
CONFIG = """
[[route]]
to = "http://127.0.0.1:1"
[mesh]
redirect = "ebpf"
exclude = { ports = [2222], networks = ["10.77.0.3/32", "fd77::3/128", "fd78::/45"] }
"""


def why_not() -> str:
    lacks = (
        [line for line in ebpf.lacking() if "bpffs" not in line] if not os.geteuid() else ["root"]
    )
    lacks += [
        f"{word} is not installed" for word in ("nsenter", "unshare") if not shutil.which(word)
    ]
    lacks += [] if os.path.isdir("/sys/fs/bpf") else ["no /sys/fs/bpf to mount a bpffs at"]
    return "; ".join(lacks)


WHY_NOT = why_not()
pytestmark = [needs_namespaces, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-")]


@dataclass
class Pod:
    """A host whose processes see a bpffs of their own."""

    host: Host
    keeper: subprocess.Popen[str]
    folder: Path

    def start(self, *words: str) -> subprocess.Popen[str]:
        mounts, net = f"/proc/{self.keeper.pid}/ns/mnt", f"/run/netns/{self.host.name}"
        return subprocess.Popen(
            ["nsenter", f"--mount={mounts}", f"--net={net}", f"--wd={ROOT}", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def spangate(self, *words: str) -> subprocess.Popen[str]:
        return self.start(sys.executable, "-m", "proxy", *words)

    def mesh(self, *words: str, config: str = CONFIG) -> subprocess.Popen[str]:
        file = self.folder / "routes.toml"
        file.write_text(config)
        return self.spangate("mesh", "run", "--file", str(file), *words)

    def groups(self) -> list[Path]:
        """Cgroups of this host, whose namespace is a thread's here, not this process's."""
        number = self.host.inside(lambda: os.stat("/proc/thread-self/ns/net").st_ino)
        return [*Path(cgroups.root() or "/nonexistent").rglob(f"spangate-{number}-*")]

    def left(self) -> list[str]:
        """What is in the bpffs that we have made, and cgroups of this host."""
        bpffs = Path(f"/proc/{self.keeper.pid}/root/sys/fs/bpf")
        return [path.name for path in (*bpffs.glob("spangate*"), *self.groups())]


@contextlib.contextmanager
def keeper(mode: str = "1777") -> Iterator[subprocess.Popen[str]]:
    """A process that has mounts of its own, and a bpffs among them."""
    own = ["unshare", "--mount", "--propagation", "private"]
    kept = subprocess.Popen(
        [*own, "sh", "-c", f"mount -t bpf -o mode={mode} bpf /sys/fs/bpf && echo && exec cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert kept.stdin and kept.stdout and kept.stdout.readline()
    try:
        yield kept
    finally:
        kept.stdin.close()
        kept.wait(DEADLINE)


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[tuple[Pod, Host, Host]]:
    with hosts("pod", "near", "far") as (host, near, far), contextlib.ExitStack() as stack:
        for place, name, port in (
            (host, "self", 8080),
            (near, "near", 80),
            (near, "dns", 53),
            (near, "ssh", 2222),
            (far, "far", 80),
        ):
            stack.enter_context(app(place, name, port))
        kept = stack.enter_context(keeper())
        try:
            yield Pod(host, kept, tmp_path), near, far
        finally:
            host.inside(cgroups.sweep)


@contextlib.contextmanager
def sidecar(
    pod: Pod, uid: str = "0", warned: list[str] | None = None, denied: bool = False
) -> Iterator[list[str]]:
    """What it has taken, once this is over, and in `warned` what it has said besides."""
    process = pod.start(sys.executable, "-m", "tests.mesh.ebpf_relay", uid, *["deny"] * denied)
    taken: list[str] = []
    assert process.stdout and process.stdout.readline() == "ready\n"
    try:
        yield taken
    finally:
        process.terminate()
        out, err = process.communicate(timeout=DEADLINE)
        taken += out.splitlines()
        if warned is not None:
            warned += err.splitlines()


def said(process: subprocess.Popen[str]) -> list[str]:
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, err
    return out.splitlines()


def is_deserted(pod: Pod) -> bool:
    """Whether nobody is in its cgroups: what the kernel asks before one may be removed."""
    groups = pod.groups()
    return all("populated 0" in (group / "cgroup.events").read_text() for group in groups)


def test_connections_of_a_command_go_through_the_sidecar(pod: tuple[Pod, Host, Host]) -> None:
    here, near, _ = pod
    mapped = f"::ffff:{near.v4}"
    with sidecar(here) as taken:
        called = [near.v4, "80", near.v6, "80", mapped, "80", near.v4, "81"]
        lines = said(here.mesh("--", sys.executable, CLIENT, *called))
    assert lines == [
        f"near {here.host.v4} | {near.v4} 80",  # the peer that it has called
        f"near {here.host.v6} | {near.v6} 80",
        f"near {here.host.v4} | {mapped} 80",
        "refused",
    ]
    assert taken == [
        f"out {near.v4} 80",
        f"out {near.v6} 80",
        f"out {near.v4} 80",
        f"out {near.v4} 81",
    ]
    assert here.left() == []


def test_what_is_left_alone_does_not_meet_the_sidecar(pod: tuple[Pod, Host, Host]) -> None:
    here, near, far = pod
    own = here.host
    with sidecar(here) as taken:
        called = ["127.0.0.1", "8080", "::1", "8080", "::ffff:127.0.0.1", "8080", "0.0.0.0", "8080"]
        called += [own.v4, "8080", own.v6, "8080", far.v4, "80", far.v6, "80"]
        called += [f"::ffff:{far.v4}", "80", near.v4, "2222", near.v6, "2222", near.v6, "53"]
        lines = said(here.mesh("--", sys.executable, CLIENT, *called))
    assert [line.split(" | ")[0] for line in lines] == [
        *("self 127.0.0.1", "self ::1", "self 127.0.0.1", "self 127.0.0.1"),
        *(f"self {own.v4}", f"self {own.v6}", f"far {own.v4}", f"far {own.v6}"),
        *(f"far {own.v4}", f"ssh {own.v4}", f"ssh {own.v6}", f"dns {own.v6}"),
    ]
    assert taken == []


def test_others_on_the_host_are_left_alone(pod: tuple[Pod, Host, Host]) -> None:
    here, near, _ = pod
    with sidecar(here) as taken:
        command = here.mesh("--", sys.executable, CLIENT, near.v4, "80")
        assert command.stdout and command.stdout.readline()  # it is redirected
        stranger = said(here.start(sys.executable, CLIENT, near.v4, "80", "127.0.0.1", "15001"))
        said(command)
    assert stranger == [f"near {here.host.v4} | {near.v4} 80", "refused"]
    assert taken == [f"out {near.v4} 80", "stranger"]


def test_a_sidecar_of_another_user_may_look_destinations_up(pod: tuple[Pod, Host, Host]) -> None:
    here, near, _ = pod
    with sidecar(here, NOBODY) as taken:
        words = [sys.executable, CLIENT, near.v4, "80"]
        assert said(here.mesh("--sidecar-user", NOBODY, "--", *words))
        first = here.mesh("--sidecar-user", NOBODY, "--", *words)
        assert first.stdout and first.stdout.readline()
        assert said(here.mesh("--sidecar-user", NOBODY, "--", *words))  # beside it
        said(first)
    assert taken == [f"out {near.v4} 80"] * 3
    assert here.left() == []


def test_one_that_may_not_says_so_once(pod: tuple[Pod, Host, Host]) -> None:
    here, near, _ = pod
    warned: list[str] = []
    with sidecar(here, NOBODY, warned) as taken:
        words = [sys.executable, CLIENT, near.v4, "80", near.v4, "80"]
        said(here.mesh("--", *words))
    assert taken == ["stranger"] * 2
    (warning,) = warned
    assert f"spangate mesh run --sidecar-user {NOBODY}" in warning


@pytest.mark.parametrize("uid", ["0", NOBODY])
def test_one_that_must_not_call_bpf_is_told_what_helps(
    pod: tuple[Pod, Host, Host], uid: str
) -> None:
    """Whoever it is: the file's owner is not why."""
    here, near, _ = pod
    warned: list[str] = []
    with sidecar(here, uid, warned, denied=True) as taken:
        by = ["--sidecar-user", uid] if uid != "0" else []
        said(here.mesh(*by, "--", sys.executable, CLIENT, near.v4, "80"))
    assert taken == ["stranger"]
    (warning,) = warned
    assert "a seccomp profile denies bpf() to this process: give it CAP_BPF" in warning
    assert "--sidecar-user" not in warning


@pytest.mark.parametrize("words", [[], ["--user", NOBODY]])
def test_a_command_of_the_sidecar_s_user_is_warned_of(
    pod: tuple[Pod, Host, Host], words: list[str]
) -> None:
    """It is not redirected: what this user sends is the sidecar's own."""
    here, near, _ = pod
    uid = words[1] if words else "0"
    with sidecar(here, uid) as taken:
        ask = [sys.executable, CLIENT, near.v4, "80"]
        process = here.mesh("--sidecar-user", uid, *words, "--", *ask)
        told = process.communicate(timeout=DEADLINE)[1]
    assert process.returncode == 0 and taken == []
    assert f"warning: COMMAND runs as user {uid}, as the sidecar does" in told


def test_a_bpffs_that_others_may_not_enter_is_told_of(tmp_path: Path) -> None:
    """As systemd mounts it."""
    warned: list[str] = []
    with hosts("pod", "near") as (host, near), app(near, "near", 80), keeper("0700") as kept:
        here = Pod(host, kept, tmp_path)
        with sidecar(here, NOBODY, warned) as taken:
            words = ["--sidecar-user", NOBODY, "--", sys.executable, CLIENT, near.v4, "80"]
            done = here.mesh(*words)
            told = done.communicate(timeout=DEADLINE)[1]
    assert taken == ["stranger"]
    assert f"user {NOBODY} may not enter /sys/fs/bpf: chmod o+x /sys/fs/bpf" in told
    (warning,) = warned
    assert f"user {NOBODY} may not enter /sys/fs/bpf: chmod o+x /sys/fs/bpf" in warning


def test_where_no_sidecar_can_be_asked_the_file_is_warned_of(pod: tuple[Pod, Host, Host]) -> None:
    here, *_ = pod
    for redirect in ("ebpf", "nft", "none"):
        config = CONFIG.replace('"ebpf"', f'"{redirect}"')
        if redirect == "none":
            config = config.replace("[mesh]", '[mesh]\napp = "127.0.0.1:8080"')
        process = here.mesh("--", "sh", "-c", "exit 7", config=config)
        told = process.communicate(timeout=DEADLINE)[1]
        assert process.returncode == 7, told
        warned = f'no sidecar answers at http://127.0.0.1:9901; with mesh.redirect = "{redirect}"'
        assert (warned in told) == (redirect != "ebpf"), told


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], -signal.SIGTERM),
        (["sh", "-c", "kill -KILL $$"], -signal.SIGKILL),
        (["no-such-command"], 127),
        (["/"], 126),
    ],
)
def test_it_ends_as_its_command_ends(
    pod: tuple[Pod, Host, Host], words: list[str], code: int
) -> None:
    here, *_ = pod
    process = here.mesh("--", *words)
    process.communicate(timeout=DEADLINE)
    assert process.returncode == code
    assert here.left() == []


# A shell looks for signals between two commands: one that comes just before a `read` waits for it.
# SIGHUP may be ignored where the tests run (nohup), and then it is for whatever they start.
TRAPS = """
trap "echo usr1" USR1; trap "echo usr2" USR2; trap "exit 9" TERM
echo ready; while :; do sleep 0.02; done
"""


def test_signals_are_passed_on(pod: tuple[Pod, Host, Host]) -> None:
    here, *_ = pod
    process = here.mesh("--", "sh", "-c", TRAPS)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    for number, line in ((signal.SIGUSR1, "usr1\n"), (signal.SIGUSR2, "usr2\n")):
        process.send_signal(number)
        assert process.stdout.readline() == line
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE) == 9
    assert here.left() == []


def test_a_command_outlives_who_started_it_and_stays_redirected(
    pod: tuple[Pod, Host, Host],
) -> None:
    here, near, _ = pod
    again = f"read x; {sys.executable} {CLIENT} {near.v4} 80 </dev/null; read x"
    with sidecar(here) as taken:
        process = here.mesh("--", "sh", "-c", f"echo ready; {again}")
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "ready\n"
        process.kill()
        process.wait(DEADLINE)
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == f"near {here.host.v4} | {near.v4} 80\n"
        removing = here.spangate("redirect", "remove")
        assert said(removing) == [
            "1 command is still redirected by spangate mesh run, for as long as it runs"
        ]
        assert here.left()  # not while somebody is in it
        process.stdin.close()
        assert process.stdout.read() == ""  # until the last of it has ended
    assert taken == [f"out {near.v4} 80"]
    until(lambda: is_deserted(here))  # its pipes are closed a moment before it leaves
    cgroup, map_ = said(here.spangate("redirect", "remove"))
    assert re.fullmatch(r"removed: cgroup /\S*/spangate-\d+-\d+", cgroup)
    assert re.fullmatch(r"removed: eBPF map in /\S*/spangate-\d+", map_)
    assert here.left() == []


def test_what_a_killed_one_leaves_is_removed_in_its_own_network_alone(
    pod: tuple[Pod, Host, Host],
) -> None:
    here, near, _ = pod
    process = here.mesh("--", "sh", "-c", "echo ready; read x")
    assert process.stdout and process.stdin
    assert process.stdout.readline() == "ready\n"
    process.kill()
    process.wait(DEADLINE)
    process.stdin.close()
    until(lambda: is_deserted(here))
    elsewhere = Pod(near, here.keeper, here.folder)
    assert not any("cgroup" in line for line in said(elsewhere.spangate("redirect", "remove")))
    assert here.groups()
    said(here.spangate("redirect", "remove"))
    assert here.left() == []


def test_check_tells_whether_a_command_is_redirected(pod: tuple[Pod, Host, Host]) -> None:
    here, *_ = pod
    check = ["redirect", "check", "--by", "ebpf"]
    process = here.spangate(*check)
    assert "no command is redirected" in process.communicate(timeout=DEADLINE)[1]
    assert process.returncode == 1
    command = here.mesh("--", "sh", "-c", "echo ready; read x")
    assert command.stdout and command.stdout.readline()
    assert said(here.spangate(*check)) == ["ok: redirected by ebpf"]
    command.communicate("\n", timeout=DEADLINE)


def test_what_fails_meanwhile_is_no_failure_of_bpf(pod: tuple[Pod, Host, Host]) -> None:
    """Such as a fork, where there may be no more processes."""
    here, *_ = pod
    process = here.start(sys.executable, "-c", FAILS)
    out, err = process.communicate(timeout=DEADLINE)
    assert (out, process.returncode) == ("BlockingIOError [Errno 11] no more processes\n", 0), err
    assert here.left() == []


def test_who_may_not_is_told_why(pod: tuple[Pod, Host, Host]) -> None:
    here, *_ = pod
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    weak = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]
    for words in (["mesh", "run", "--", "true"], ["redirect", "check", "--by", "nft"]):
        process = here.start(*weak, sys.executable, "-m", "proxy", *words)
        told = process.communicate(timeout=DEADLINE)[1]
        assert process.returncode == 1
        assert "CAP_NET_ADMIN is needed" in told
    mesh = here.spangate("mesh", "run")
    assert "Missing argument" in mesh.communicate(timeout=DEADLINE)[1]
    assert mesh.returncode == 2
