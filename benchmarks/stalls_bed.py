"""A gateway whose every turn is measured, and all around it that the cases of stalls need."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen

from benchmarks import peers, proc
from benchmarks.probe import Probe
from benchmarks.turns import Longest, Turns, kinds

CONFIG = """
listen  = ["127.0.0.1:{port}"{secure}]
workers = 1
[resource]
"service.name" = "stalls"
[admin]
listen = "127.0.0.1:{admin}"
[access_log]
stdout = false
[collector.receivers.otlp]
http = "127.0.0.1:{otlp}"
[collector.processors.batch]
[collector.exporters.otlp_http]
endpoint = "http://127.0.0.1:{sink}"
{queue}
[collector.pipelines.traces]
receivers = ["gateway", "otlp"]
processors = ["batch"]
exporters = ["otlp_http"]
[upstream.backend]
servers = {{ "http://127.0.0.1:{backend}" = 1 }}
[[route]]
name = "ping"
path = "/ping"
respond = {{ body = "pong" }}
[[route]]
name = "large"
path = "/large"
respond = {{ body = "{large}" }}
[[route]]
name = "version"
path = "/version"
respond = {{ body = "{version}" }}
[[route]]
name = "rest"
path = "/*"
to = "backend"
"""
ROUTE = """
[[route]]
name = "r{n}"
path = "/r{n}/{{id}}"
to = "u{n}"
[upstream.u{n}]
servers = {{ "http://127.0.0.1:{backend}" = 1 }}
"""
SECURE = """, {{ address = "127.0.0.1:{tls}",\
 tls = {{ cert = "{directory}/edge.pem", key = "{directory}/edge.key" }} }}"""
LARGE = "x" * 4000  # what /large answers
P256, RSA = "ec -pkeyopt ec_paramgen_curve:P-256", "rsa:2048"
NAMES = ("port", "admin", "otlp", "tls")  # of its ports
START_PATIENCE = 60.0
SETTLE_PATIENCE = 60.0  # seconds for a turn that goes on when its case is over
EVERY = 0.1  # seconds between two looks at memory and files


@dataclass(slots=True)
class Seen:
    """What one case has shown, for each kind of process."""

    longest: dict[str, Longest]
    waits: dict[str, float]  # seconds, of another client, by what it asked
    grown: dict[str, int]  # bytes: the most that was resident above what was before
    files: dict[str, int]  # most open at once
    note: str = ""
    lag: dict[str, float] = field(default_factory=dict)  # the product's own gauge


@dataclass(frozen=True, slots=True)
class Options:
    """How a gateway is started."""

    routes: int = 0
    slow: bool = False  # with a queue on a disk that is
    delay: float = 0.0  # seconds until the exporter's peer answers
    key: str = ""  # of the certificate of a listener with TLS, as `openssl req -newkey` has it
    watched: bool = True  # with what measures its turns
    before: tuple[str, ...] = ()  # words before its command


class Gateway:
    """`spangate run` with one worker; see CONFIG."""

    def __init__(self, directory: Path, ports: dict[str, int], turns: Turns | None) -> None:
        self.directory = directory
        self.ports = {**ports, **{n: peers.free_port() for n in NAMES}}
        self.port, self.admin, self.otlp, self.tls = (self.ports[n] for n in NAMES)
        self.turns = turns
        self.process: Popen[bytes]
        self._file = directory / "routes.toml"
        self._queue = self._secure = ""

    def start(self, stack: ExitStack, options: Options) -> None:
        """Start it and wait for its answer."""
        disk = self.directory / "queue" if options.slow else None
        self._queue = f'sending_queue = {{ storage = "{disk}" }}' if disk else ""
        if options.key:
            certificate(self.directory, options.key)
            self._secure = SECURE.format(directory=self.directory, **self.ports)
        self.write(options.routes, "first")
        env = self.turns.environment(disk) if self.turns else {}
        log = self.directory / "gateway.out"
        command = [*options.before, sys.executable, "-m", "proxy", "run", str(self._file)]
        self.process = proc.start(command, proc.cores()[0], log, env)
        stack.callback(proc.stop, self.process)
        proc.wait_until(lambda: self.version() == "first", START_PATIENCE, "the gateway")
        proc.wait_until(lambda: proc.listens(self.otlp), START_PATIENCE, "the receiver")
        for pid in proc.tree(self.process.pid):
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), set(proc.cores()))

    def write(self, routes: int, version: str) -> None:
        """Its configuration, with so many routes beside those it always has."""
        values = {**self.ports, "version": version, "queue": self._queue}
        values |= {"large": LARGE, "secure": self._secure}
        parts = [CONFIG.format(**values), *(ROUTE.format(n=n, **values) for n in range(routes))]
        self._file.write_text("".join(parts))

    def version(self) -> str:
        """What the worker answers by; "" if it does not."""
        with suppress(OSError):
            return self.get(self.port, "/version").decode()
        return ""

    def get(self, port: int, path: str) -> bytes:
        """The body of an answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
            body: bytes = answer.read()
            return body

    def kinds(self) -> dict[str, int]:
        return kinds(self.process.pid)

    def lag(self) -> dict[str, float]:
        """`spangate.loop.lag` by process; {} if this version has none."""
        page = self.get(self.admin, "/metrics").decode()
        found = re.findall(r"^spangate_loop_lag\w*\{(.*)\} (\S+)$", page, re.MULTILINE)
        return {re.sub(r'spangate_|"', "", labels): float(value) for labels, value in found}


def certificate(directory: Path, key: str) -> None:
    """A certificate for 127.0.0.1 of its own making: `edge.pem` and `edge.key`."""
    command = f"openssl req -x509 -newkey {key} -nodes -days 2 -subj /CN=bench"
    names = "-addext subjectAltName=IP:127.0.0.1 -keyout edge.key -out edge.pem"
    words = [*command.split(), *names.split()]
    subprocess.run(words, cwd=directory, check=True, stderr=subprocess.DEVNULL)


class Watch:
    """A case under observation: from entering to `seen`."""

    def __init__(self, gateway: Gateway, probe: Probe) -> None:
        assert gateway.turns is not None
        self._turns = gateway.turns
        self._probe = probe
        self._pids = gateway.kinds()
        self._over = threading.Event()
        self._before = {kind: proc.memory([pid]).rss for kind, pid in self._pids.items()}
        self._files = {kind: proc.descriptors(pid) for kind, pid in self._pids.items()}
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        proc.reset_peak(list(self._pids.values()))
        for pid in self._pids.values():
            self._turns.reset(pid)
        self._probe.take()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def seen(self, note: str = "") -> Seen:
        """Everything until now."""
        pids = self._pids.items()
        self._turns.settle(self._pids.values(), SETTLE_PATIENCE)
        longest = {kind: self._turns.read(pid) for kind, pid in pids}
        waits = self._probe.take()
        grown = {kind: proc.memory([pid]).peak - self._before[kind] for kind, pid in pids}
        return Seen(longest, waits, grown, dict(self._files), note)

    def _look(self) -> None:
        while not self._over.wait(EVERY):
            for kind, pid in self._pids.items():
                self._files[kind] = max(self._files[kind], proc.descriptors(pid))


@contextmanager
def gateway(options: Options) -> Iterator[Gateway]:
    """A running gateway with backend and sink."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="spangate-turn-")))
        ports = {"backend": peers.free_port(), "sink": peers.free_port()}
        sink = ["benchmarks.collector_ends", "sink", "http", str(ports["sink"]), "-"]
        sink.append(str(options.delay))
        for words in (["benchmarks.backend", str(ports["backend"])], sink):
            command = [sys.executable, "-m", *words]
            process = proc.start(command, proc.cores()[1], directory / "back.out")
            stack.callback(proc.stop, process)
        for name, port in ports.items():
            proc.wait_until(lambda port=port: proc.listens(port), 20, name)  # type: ignore[misc]
        made = Gateway(directory, ports, Turns(directory) if options.watched else None)
        made.start(stack, options)
        yield made


@contextmanager
def probed(found: Gateway) -> Iterator[Probe]:
    """A probe of each of its processes."""
    targets = {"hub": (found.admin, "/live"), "worker": (found.port, "/ping")}
    probe = Probe({**targets, "collector": (found.otlp, "/v1/traces")})
    try:
        proc.wait_until(lambda: all(probe.take().values()), 10, "the probe", every=0.2)
        yield probe
    finally:
        probe.stop()
