"""A real sidecar behind the rules, between applications that know nothing."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.mesh_model import Mesh
from proxy.mesh.install import install
from proxy.mesh.rules import MARK, Own, redirect
from proxy.server import mesh_places
from tests.mesh.hosts import DEADLINE, V4, V6, Host, hosts, needs_namespaces
from tests.mesh.relay import OWN, Address, bare, close, serve
from tests.mesh.test_ebpf import WHY_NOT, Pod, keeper
from tests.mesh.test_redirect import WAYS, has

ROOT = Path(__file__).parents[2]
GROUP = ["setpriv", f"--regid={OWN}", "--clear-groups"]
pytestmark = [needs_namespaces, has("setpriv"), pytest.mark.timeout(300)]


def config(folder: Path, how: str) -> Path:
    file = folder / f"{how}.toml"
    text = '[mesh]\nname = "orders"\napp = "127.0.0.1:8080"\noutbound = ":15001"\n'
    file.write_text(text + f'redirect = "{how}"\n[log]\nformat = "json"\n')
    return file


@contextlib.contextmanager
def web(host: Host, name: str, port: int) -> Iterator[None]:
    """A server that answers with its name, whom it sees, and whether a sidecar has been there."""

    def answer(client: object, peer: Address) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)  # type: ignore[attr-defined]
        way = "traced" if b"\r\ntraceparent:" in head.lower() else "direct"
        body = f"{name} {bare(peer[0])} {way}".encode()
        fields = f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        client.sendall(b"HTTP/1.1 200 OK\r\n" + fields + body)  # type: ignore[attr-defined]

    listeners = [host.listen(V4, "0.0.0.0", port), host.listen(V6, "::", port)]
    for listener in listeners:
        serve(listener, answer)
    try:
        yield
    finally:
        for listener in listeners:
            close(listener)


def get(host: Host, address: str, port: int) -> str:
    with host.new_socket(V6 if ":" in address else V4) as sock:
        sock.connect((address, port))
        sock.sendall(b"GET /x HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n")
        answered = b""
        while more := sock.recv(4096):
            answered += more
    return answered.partition(b"\r\n\r\n")[2].decode()


@contextlib.contextmanager
def running(process: subprocess.Popen[str]) -> Iterator[None]:
    """While a sidecar is ready."""
    assert process.stdout
    lines: list[str] = []
    try:
        while "gateway.ready" not in (line := process.stdout.readline()):
            lines.append(line)
            assert line, f"it has ended: {''.join(lines)}"
        yield
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE)


@pytest.mark.parametrize("how", WAYS)
def test_applications_meet_through_it(how: str, tmp_path: Path) -> None:
    with hosts("pod", "near") as (pod, near), web(pod, "app", 8080), web(near, "near", 80):
        rules = redirect(Mesh(redirect=how), Own(OWN, OWN))  # type: ignore[arg-type]
        pod.inside(lambda: install(rules))
        started = subprocess.Popen(
            ["ip", "netns", "exec", pod.name, *GROUP, sys.executable, "-m", "proxy", "sidecar",
             str(config(tmp_path, how))],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT,
        )  # fmt: skip
        with running(started):
            seen = near.v4 if how == "tproxy" else "127.0.0.1"
            assert get(near, pod.v4, 8080) == f"app {seen} traced"
            assert get(near, pod.v6, 8080) == "app 127.0.0.1 traced"  # the other version of IP
            assert get(pod, near.v4, 80) == f"near {pod.v4} traced"
            assert get(pod, near.v6, 80) == f"near {pod.v6} traced"
            with web(near, "far", 15001):  # another host's port that is called like one of ours
                assert get(pod, near.v4, 15001) == f"far {pod.v4} traced"
                assert get(pod, near.v6, 15001) == f"far {pod.v6} traced"


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-")
def test_a_command_s_calls_go_through_it(tmp_path: Path) -> None:
    ask = "import urllib.request as u; print(u.urlopen('http://{}/x').read().decode())"
    with hosts("pod", "near") as (pod, near), web(near, "near", 80), keeper() as kept:
        here = Pod(pod, kept, tmp_path)
        file = config(tmp_path, "ebpf")
        words = [*GROUP, sys.executable, "-m", "proxy", "sidecar", str(file)]
        # Its log is on stderr.
        with running(here.start("sh", "-c", 'exec "$@" 2>&1', "sh", *words)):
            for place, seen in ((near.v4, pod.v4), (f"[{near.v6}]", pod.v6)):
                words = ["--", sys.executable, "-c", ask.format(place)]
                command = here.spangate("mesh", "run", "--file", str(file), *words)
                assert command.communicate(timeout=DEADLINE)[0] == f"near {seen} traced\n"


def test_both_sides_of_tproxy_mean_the_same_mark() -> None:
    assert mesh_places._MARK == MARK
