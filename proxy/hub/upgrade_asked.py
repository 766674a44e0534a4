"""`spangate upgrade PID`: ask a hub for an upgrade, and be told what came of it.

Whoever asks listens on an abstract Unix socket that has the hub's number in its name, and sends it
USR2; a hub that gets the signal looks whether somebody listens there, and tells them. So it costs
nothing until it is asked for, and the signal alone does the same. Both sides look who the other
is (SO_PEERCRED, unix(7)): only the hub that was meant is believed, and only its own user and root
are told.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxy.hub.handed import Lines

HEARD_WITHIN = 10.0  # seconds until a hub must have said anything
DONE_WITHIN = 120.0  # seconds: more than it waits itself

_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


class Asker:
    """Who asked for an upgrade, as the hub sees them: maybe nobody."""

    def __init__(self, sock: socket.socket | None) -> None:
        self._sock = sock

    @classmethod
    def find(cls, pid: int) -> Asker:
        """Whoever waits for this hub's word."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(_name(pid))
            if _peer(sock)[1] in (0, os.geteuid()):
                return cls(sock)
        except OSError:
            pass  # it was the signal alone
        sock.close()
        return cls(None)

    def tell(self, outcome: Mapping[str, Any]) -> None:
        """The last word."""
        if self._sock is not None:
            Lines(self._sock).send(outcome)
            self._sock.close()
            self._sock = None


class Refused(Exception):
    """There is no upgrade; in words."""


def upgrade(pid: int) -> int:
    """Ask the hub `pid`, and wait; the process that follows it. Raises Refused."""
    _check(pid)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        try:
            sock.bind(_name(pid))
        except OSError:
            raise Refused(f"somebody is asking process {pid} for an upgrade already") from None
        sock.listen(1)
        try:
            os.kill(pid, signal.SIGUSR2)
        except PermissionError:
            raise Refused(f"process {pid} is another user's: ask as that user, or root") from None
        except ProcessLookupError:
            raise Refused(f"there is no process {pid}") from None
        return _answer(_accept(sock, pid), pid)


def _accept(sock: socket.socket, pid: int) -> socket.socket:
    end = time.monotonic() + HEARD_WITHIN
    while (left := end - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            connection, _ = sock.accept()
        except TimeoutError:
            break
        if _peer(connection)[0] == pid:
            return connection
        connection.close()
    elsewhere = "is it in another network namespace? Its log says what came of it"
    raise Refused(f"process {pid} was sent USR2 and has not answered: {elsewhere}")


def _answer(connection: socket.socket, pid: int) -> int:
    lines = Lines(connection)
    connection.settimeout(DONE_WITHIN)
    with connection:
        while True:
            try:
                data = connection.recv(65536)
            except TimeoutError:
                raise Refused(f"process {pid} has not said what came of it") from None
            for outcome in lines.feed(data):
                if new := outcome.get("ready"):
                    return int(new)
                raise Refused("\n".join(map(str, outcome.get("failed", ["it failed"]))))
            if not data:
                raise Refused(f"process {pid} ended before the upgrade was done")


def _check(pid: int) -> None:
    """Refused unless USR2 means an upgrade to it: others would die of it."""
    folder = Path(f"/proc/{pid}")
    try:
        words = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
        status = dict(
            line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if line
        )
    except OSError:
        raise Refused(f"there is no process {pid}") from None
    ours = [word for word in words if "spangate" in word or "proxy" in word]
    if not ours:
        said = " ".join(words).strip() or status.get("Name", "?")
        raise Refused(f"process {pid} is no gateway: it is {json.dumps(said[:80])}")
    if {"proxy.server", "proxy.collector"} & set(words):
        hub = status.get("PPid", "?")
        raise Refused(f"process {pid} is a part of the gateway {hub}: spangate upgrade {hub}")
    if not int(status.get("SigCgt", "0"), 16) >> (signal.SIGUSR2 - 1) & 1:
        raise Refused(f"process {pid} knows no upgrade: it is no gateway, or is only starting")


def _name(pid: int) -> str:
    return f"\0spangate-upgrade-{pid}"


def _peer(sock: socket.socket) -> tuple[int, ...]:
    """(pid, uid, gid) of the other end."""
    said = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return _CREDENTIALS.unpack(said)
