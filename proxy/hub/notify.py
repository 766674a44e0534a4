"""What a service manager is told: ready, reloading, stopping, still alive (sd_notify(3)).

Datagrams to the socket that NOTIFY_SOCKET names; without it nothing is sent. Nobody waits for
them: what cannot be sent is lost, since a gateway must not stop for its supervisor.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import MutableMapping

MANAGER = "NOTIFY_SOCKET"  # the variable that says that there is one
_INHERITED = (MANAGER, "WATCHDOG_USEC")


class Notifier:
    """The way to the service manager of this process, if it has one."""

    __slots__ = ("_address", "_every", "_said", "_timer")

    def __init__(self, environ: MutableMapping[str, str], pid: int) -> None:
        """Takes its variables out of `environ`: they are for this process alone."""
        self._said = {key: environ.pop(key) for key in _INHERITED if key in environ}
        self._address = _address(self._said.get(MANAGER, ""))
        self._every = _seconds(self._said.get("WATCHDOG_USEC", "")) / 2
        if environ.pop("WATCHDOG_PID", str(pid)) != str(pid):
            self._every = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def ready(self, status: str) -> None:
        """All workers accept, for the first time or after a reload."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """A reload has begun; `ready` ends it, however it ends."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    @property
    def variables(self) -> dict[str, str]:
        """What the process that follows this one must find in its environment."""
        return dict(self._said)

    def follows(self, pid: int, status: str) -> None:
        """Another process is the service from now on (MAINPID); this one says nothing more."""
        self._send(f"MAINPID={pid}\nREADY=1\nSTATUS={status}")
        self.stop()
        self._address = ""

    def stopping(self) -> None:
        self._send("STOPPING=1\nSTATUS=finishing what has begun")

    def watch(self) -> None:
        """Say from now on that the event loop turns, twice as often as is asked for."""
        if self._address and self._every:
            self._send("WATCHDOG=1")
            self._timer = asyncio.get_running_loop().call_later(self._every, self.watch)

    def stop(self) -> None:
        """Say nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _send(self, text: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(text.encode(), self._address)
        except OSError:
            pass  # it listens no more, or its queue is full


def _address(said: str) -> str:
    """A path, or an abstract name, which begins with "@" in the variable and with NUL for the
    kernel; "" for what is neither, such as a vsock."""
    if said.startswith("@"):
        return "\0" + said[1:]
    return said if said.startswith("/") else ""


def _seconds(microseconds: str) -> float:
    known = microseconds.isascii() and microseconds.isdigit()
    return int(microseconds) / 1e6 if known else 0.0
