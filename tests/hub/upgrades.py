"""Gateways that follow one another, clients that must not notice, and what they have recorded."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hub.gateway import DEADLINE, Gateway, is_alive, until
from tests.processes import descendants, wait_for_end


class Followed(Gateway):
    """A hub and those that follow it; `pid` is that of the last one."""

    def start_following(self) -> None:
        self.pids = [self.process.pid]

    @property
    def pid(self) -> int:
        return self.pids[-1]

    def upgrade(self) -> int:
        """To a new process that is in charge."""
        code, said, why = ask(self.pid)
        assert code == 0, why
        self.pids.append(int(said))
        return self.pid

    def close(self) -> None:
        everyone = {*self.pids, *(p for pid in self.pids for p in descendants(pid))}
        for pid in everyone:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for_end(everyone)
        super().close()


@contextmanager
def followed(folder: Path, text: str, *, workers: int = 1, ready: str = "") -> Iterator[Followed]:
    """A gateway that is ready; all that follow it are ended too. `ready`: what its line says."""
    file = folder / "routes.toml"
    file.write_text(text)
    hub = Followed(file, workers, (), subprocess.DEVNULL)
    hub.start_following()
    try:
        if ready:
            hub.wait_for_line(ready)
        else:
            hub.wait_ready()
        yield hub
    finally:
        hub.close()


def ask(pid: int | str) -> tuple[int, str, str]:
    """`spangate upgrade`: exit code, stdout, stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "upgrade", str(pid)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


class Crowd:
    """Clients that ask without a pause until they are told to stop; all that went wrong is kept."""

    def __init__(self, *ask: Callable[[], Callable[[], None]]) -> None:
        self.wrong: list[str] = []
        self.answered = 0
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in ask]

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        until(lambda: self.answered > len(self._threads) or self.wrong)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(DEADLINE)

    def _run(self, begin: Callable[[], Callable[[], None]]) -> None:
        once = begin()
        while not self._over.is_set():
            try:
                once()
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(repr(error))


def keeps_alive(port: int, path: str = "/") -> Callable[[], Callable[[], None]]:
    """A client that keeps its connection for as long as it is let."""

    def begin() -> Callable[[], None]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)

        def once() -> None:
            connection.request("GET", path)
            response = connection.getresponse()
            if response.status != 200:
                raise OSError(f"answered {response.status}")
            response.read()

        return once

    return begin


def comes_anew(port: int, path: str = "/") -> Callable[[], Callable[[], None]]:
    """A client that opens a connection for each request."""

    def once() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        connection.request("GET", path, headers={"Connection": "close"})
        assert connection.getresponse().read() is not None
        connection.close()

    return lambda: once


def comes_by(path: Path) -> Callable[[], Callable[[], None]]:
    """The same by a Unix socket."""

    def once() -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE)
            sock.connect(str(path))
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            if not sock.recv(65536).startswith(b"HTTP/1.1 200"):
                raise OSError("no answer")

    return lambda: once


def gone(pid: int) -> bool:
    return not is_alive(pid)
