"""The test bed: backend and sink on one core, the proxies on the other, all stopped at the end."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import peers, proc, workload
from benchmarks.peers import Target

BULK = 1024 * 1024  # bytes at /bulk/zeros, for clients that go away in the middle of them
START_PATIENCE = 20.0  # seconds; Envoy and Caddy take one or two


@dataclass(slots=True)
class Running:
    """A started proxy."""

    target: Target
    process: subprocess.Popen[bytes]
    port: int
    admin: int
    started: float = 0.0  # seconds from the command to the first answer


@dataclass(slots=True)
class Bed:
    """Addresses and processes of one run. Made by `make`, which also ends everything."""

    directory: Path
    backend: int
    sink: int
    front: int  # core of the proxies
    back: int  # core of everything else
    stack: contextlib.ExitStack
    running: dict[str, Running] = field(default_factory=dict)

    def start(
        self,
        target: Target,
        backend: int = 0,
        sink: int = 0,
        answers: Callable[[Running], bool] | None = None,
    ) -> Running:
        """Start a proxy and wait for its first answer; RuntimeError with its log if none comes.

        `backend` and `sink` are ports to be used in the place of the common ones. `answers` says
        whether there was an answer, where plain HTTP/1.1 would get none.
        """
        port, admin = peers.free_port(), peers.free_port()
        values = {
            "DIR": str(self.directory),
            "PORT": str(port),
            "ADMIN": str(admin),
            "BACKEND": str(backend or self.backend),
            "SINK": str(sink or self.sink),
        }
        command, env = peers.prepare(target, values)
        log = self.directory / f"{target.name}.out"
        begin = time.perf_counter()
        process = proc.start(command, self.front, log, env)
        self.stack.callback(proc.stop, process)
        proxy = Running(target, process, port, admin)
        try:
            first = answers or _answers
            proc.wait_until(lambda: first(proxy), START_PATIENCE, target.name, every=0.005)
        except (TimeoutError, RuntimeError) as error:
            raise RuntimeError(f"{target.name}: {error}\n{log.read_text()[-2000:]}") from None
        proxy.started = time.perf_counter() - begin
        self.running[target.name] = proxy
        return proxy

    def stop(self, proxy: Running) -> None:
        """Stop one proxy before the others."""
        proc.stop(proxy.process)
        self.running.pop(proxy.target.name, None)

    def counts(self, service: str) -> dict[str, int]:
        """What the sink has got from `service` since the last reset."""
        found: dict[str, int] = self._ask("GET", "/counts").get(service, {})
        return found

    def spans(self, service: str) -> list[dict[str, Any]]:
        """The last few spans of `service` since the last reset."""
        found: list[dict[str, Any]] = self._ask("GET", f"/spans?service={service}")
        return found

    def reset(self) -> None:
        """Forget what came so far."""
        self._ask("POST", "/reset")

    def _ask(self, method: str, path: str) -> Any:
        link = http.client.HTTPConnection("127.0.0.1", self.sink, timeout=10)
        link.request(method, path)
        body = link.getresponse().read()
        link.close()
        return json.loads(body) if body else None


@contextlib.contextmanager
def make() -> Iterator[Bed]:
    """A directory, a backend and a sink; everything that was started ends with the block."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spangate-bench-")))
        front, back = proc.cores()
        bed = Bed(directory, peers.free_port(), peers.free_port(), front, back, stack)
        values = {
            "DIR": str(directory),
            "PORT": str(bed.backend),
            "BODY": workload.BODY.decode(),
        }
        (directory / "bulk").mkdir()
        (directory / "bulk" / "zeros").write_bytes(bytes(BULK))
        text = (peers.HERE / "peers" / "backend.conf").read_text()
        (directory / "backend.conf").write_text(peers.fill(text, values))
        nginx = peers.find("nginx")
        if nginx is None:
            raise SystemExit("the backend is nginx: install it (apt-get install nginx-core)")
        commands = {
            "backend": [nginx, "-c", str(directory / "backend.conf")],
            "sink": [sys.executable, "-m", "benchmarks.sink", str(bed.sink)],
        }
        for name, command in commands.items():
            process = proc.start(command, back, directory / f"{name}.out")
            stack.callback(proc.stop, process)
        for port, name in ((bed.backend, "backend"), (bed.sink, "sink")):
            proc.wait_until(lambda port=port: _open(port), 10, name)  # type: ignore[misc]
        yield bed


def ask(port: int, request: bytes) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Send one prepared request on a connection of its own: status, body, fields."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as link:
        link.sendall(request)
        answer = http.client.HTTPResponse(link)
        answer.begin()
        return answer.status, answer.read(), answer.getheaders()


def _answers(proxy: Running) -> bool:
    if proxy.process.poll() is not None:
        raise RuntimeError(f"ended with {proxy.process.returncode}")
    try:
        status, _, _ = ask(proxy.port, workload.request("0" * 31 + "1"))
    except (OSError, http.client.HTTPException):
        return False
    return status == 200


def _open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
