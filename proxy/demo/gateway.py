"""The gateway as a child process: `spangate run`, its output line by line, its end or ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_READY = re.compile(
    r"spangate \S+ ready: (?P<scheme>https?) on (?P<first>[^\s,]+)"
    r"(?:.*? https on (?P<https>[^\s,]+))?(?:.*? on (?P<admin>http://\S+),)?"
)
_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Places:
    """URLs under which this machine finds the gateway; all but the first may be ""."""

    first: str
    https: str
    admin: str


def _terminal() -> tuple[int, int]:
    """A pseudo-terminal as wide as ours, for trees that fit."""
    ours, theirs = os.openpty()
    with contextlib.suppress(OSError, termios.error):
        termios.tcsetwinsize(theirs, termios.tcgetwinsize(sys.stdout.fileno()))
    return ours, theirs


class Gateway:
    """One `spangate run`. Lines that it prints go to `show`, but for the one that says ready.

    It gets a terminal of its own where we have one, so that its trees are coloured, and a process
    group of its own, so that Ctrl-C ends us alone, and we end it in order. Nothing is ever written
    to its stdin: that it closes tells it of our end, however we came to it.
    """

    def __init__(self, show: Callable[[str], None], *, terminal: bool) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[Places] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()  # exit code
        self.pid = 0
        self._show = show
        self._terminal = terminal
        self._process: subprocess.Popen[bytes] | None = None
        self._partial = b""

    def start(self, file: str, environ: Mapping[str, str]) -> None:
        """Run `file` with two workers; `environ` is added to our own environment."""
        ours, theirs = _terminal() if self._terminal else os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "proxy.demo.guarded", file, "2"],
                env={**os.environ, **environ},
                stdin=subprocess.PIPE,
                stdout=theirs,
                stderr=theirs,
                process_group=0,
            )
        finally:
            os.close(theirs)
        self.pid = self._process.pid
        os.set_blocking(ours, False)
        asyncio.get_running_loop().add_reader(ours, self._read, ours)

    def stop(self) -> None:
        """Ask it to drain and end; asked twice it ends at once."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _read(self, fd: int) -> None:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the other end of the terminal any more
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(fd)
            os.close(fd)
            self._end()
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._line(line.decode("utf-8", "replace").rstrip("\r"))

    def _line(self, line: str) -> None:
        found = _READY.search(line)
        if found is None or self.ready.done():
            self._show(line)
        else:
            first = _reachable(found["scheme"], found["first"])
            https = _reachable("https", found["https"])
            self.ready.set_result(Places(first, https, found["admin"] or ""))

    def _end(self) -> None:
        """Its workers end before it does, so that nothing but its own exit is left to wait for."""
        assert self._process is not None
        if not self.ended.done():
            self.ended.set_result(self._process.wait())


def _reachable(scheme: str, listen: str | None) -> str:
    """A URL for what `listen` says: no host means every one."""
    if listen is None:
        return ""
    host, _, port = listen.rpartition(":")
    return f"{scheme}://{'localhost' if host in ('', '0.0.0.0', '[::]') else host}:{port}"
