"""Hosts of a test's own: network namespaces on one link, and sockets in them.

A socket stays in the namespace that it was made in, so a thread that enters one makes it and ends,
and the test uses it like any other. The kernel keeps credentials by thread too: who a socket is
from, to the rules, is who made it. Nothing outside the namespaces is touched.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
DEADLINE = 60.0  # seconds
V4, V6 = socket.AF_INET, socket.AF_INET6
T = TypeVar("T")


def why_not() -> str:
    """Why no namespace can be made here, "" if one can."""
    if os.geteuid():
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "ip (iproute2) is not installed"
    name = f"sg{os.getpid()}probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return "" if made.returncode == 0 else f"no network namespaces: {made.stderr.decode()}"


WHY_NOT = why_not()
needs_namespaces = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-")


def sh(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


@dataclass(frozen=True)
class Host:
    """One namespace, with an address of each kind."""

    name: str
    v4: str
    v6: str

    def address(self, family: int) -> str:
        return self.v4 if family == V4 else self.v6

    def inside(self, act: Callable[[], T], uid: int = 0, gid: int = 0) -> T:
        """Do it in the namespace, as this user and group to the file system and to rules."""
        results: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                with open(f"/run/netns/{self.name}", "rb") as file:
                    assert _libc.setns(file.fileno(), _CLONE_NEWNET) == 0
                _libc.setfsgid(gid)
                _libc.setfsuid(uid)
                results.append(act())
            except BaseException as error:  # noqa: BLE001 -- raised again, where it is waited for
                errors.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def new_socket(
        self, family: int, *, uid: int = 0, gid: int = 0, kind: int = socket.SOCK_STREAM
    ) -> socket.socket:
        made = self.inside(lambda: socket.socket(family, kind), uid, gid)
        made.settimeout(DEADLINE)
        return made

    def listen(
        self, family: int, address: str, port: int, *, transparent: bool = False
    ) -> socket.socket:
        """A listener; only for its own version of IP."""
        made = self.new_socket(family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == V6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if transparent:
            level, option = (socket.SOL_IP, 19) if family == V4 else (socket.IPPROTO_IPV6, 75)
            made.setsockopt(level, option, 1)
        made.bind((address, port))
        made.listen(64)
        return made

    def run(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ip", "netns", "exec", self.name, *words],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
        )


@contextlib.contextmanager
def hosts(*names: str) -> Iterator[list[Host]]:
    """Hosts on one bridge, which is in a namespace of its own."""
    prefix = f"sg{os.getpid()}{threading.get_native_id() % 1000}"
    switch = f"{prefix}switch"
    made = [
        Host(f"{prefix}{name}", f"10.77.0.{i}", f"fd77::{i}") for i, name in enumerate(names, 1)
    ]
    try:
        sh("ip", "netns", "add", switch)
        sh("ip", "-n", switch, "link", "add", "br0", "type", "bridge")
        sh("ip", "-n", switch, "link", "set", "br0", "up")
        for i, host in enumerate(made):
            _plug(host, switch, f"p{i}")
        yield made
    finally:
        for name in [switch, *(host.name for host in made)]:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def _plug(host: Host, switch: str, port: str) -> None:
    sh("ip", "netns", "add", host.name)
    sh("ip", "-n", switch, "link", "add", port, "type", "veth", "peer", "eth0", "netns", host.name)
    sh("ip", "-n", switch, "link", "set", port, "master", "br0", "up")
    sh("ip", "-n", host.name, "link", "set", "lo", "up")
    sh("ip", "-n", host.name, "address", "add", f"{host.v4}/24", "dev", "eth0")
    sh("ip", "-n", host.name, "address", "add", f"{host.v6}/64", "dev", "eth0", "nodad")
    sh("ip", "-n", host.name, "link", "set", "eth0", "up")
