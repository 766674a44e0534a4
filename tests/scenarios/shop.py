"""A shop of four services behind a gateway, each with a sidecar in processes of its own.

    user -> gateway -> users -> orders -> payments -> database

Between sidecars there is mTLS alone (`strict`), by an authority of the test's own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.hub.gateway import DEADLINE, fetch, said, until
from tests.ports import free_port
from tests.scenarios.apps import App, running
from tests.scenarios.receiver import Receiver

NAMES = ("users", "orders", "payments", "database")
CALLERS = dict(zip(NAMES, ("gateway", *NAMES), strict=False))  # {who is called: who may}
GATEWAY = """
listen = "127.0.0.1:{port}"
drain_timeout = "1s"
[resource]
"service.name" = "gateway"
[tracing]
inject = ["w3c", "b3"]
[admin]
listen = "127.0.0.1:{admin}"
[export]
otlp = "{otlp}"
batch_age = "50ms"
{more}
[[route]]
name = "shop"
path = "/shop/*"
to = "users"
[upstream.users]
servers = ["https://127.0.0.1:{users}"]
tls = {{ ca = "{certs}/svid_bundle.pem", cert = "{certs}/svid.pem", key = "{certs}/svid_key.pem", \
server_name = "outbound.mesh.users", identities = ["spiffe://mesh/users"] }}
"""
SIDECAR = """
drain_timeout = "1s"
[tracing]
inject = ["w3c", "b3"]
[admin]
listen = "127.0.0.1:{admin}"
[export]
otlp = "{otlp}"
batch_age = "50ms"
[mesh]
name = "{name}"
app = "127.0.0.1:{app}"
inbound = "127.0.0.1:{inbound}"
outbound = "127.0.0.1:{outbound}"
mtls = "strict"
identity = {{ ca = "local://{ca}" }}
allow = [{{ from = "spiffe://mesh/{caller}" }}]
"""
UPSTREAM = """
[upstream.{name}]
servers = ["https://127.0.0.1:{port}"]
tls = {{ ca = "mesh:", cert = "mesh:", key = "mesh:", server_name = "outbound.mesh.{name}", \
identities = ["spiffe://mesh/{name}"] }}
"""
# Of who calls `payments` alone: it is tried twice, and waited for so long.
PATIENCE = """retry = { times = 1, on = ["connect", "reset", 502], backoff = "1ms", budget = 1.0 }
first_byte_timeout = "5s"
"""


@dataclass
class Process:
    """A gateway or sidecar."""

    process: subprocess.Popen[str]
    admin: int
    lines: list[str] = field(default_factory=list)

    def read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(said(line.rstrip("\n")))

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.lines
            try:
                return fetch(self.admin, "/ready")[0] == 200
            except OSError:
                return False

        until(ready, 3 * DEADLINE)


@contextmanager
def spangate(admin: int, *words: str, **environ: str) -> Iterator[Process]:
    """While `spangate WORDS` runs; not waited for until it is ready, so that several can start."""
    command = [sys.executable, "-m", "proxy", *words]
    started = subprocess.Popen(
        command,
        env={**os.environ, **environ},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    made = Process(started, admin)
    reader = threading.Thread(target=made.read, daemon=True)
    reader.start()
    try:
        yield made
    finally:
        started.terminate()
        try:
            started.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
        reader.join(DEADLINE)
        assert started.stderr is not None
        started.stderr.close()


def command(*words: str) -> subprocess.CompletedProcess[str]:
    """`spangate WORDS`, once it has ended."""
    line = [sys.executable, "-m", "proxy", *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=3 * DEADLINE, check=False)


@dataclass
class Shop:
    """All of it, running."""

    port: int  # of the gateway
    folder: Path
    receiver: Receiver
    apps: dict[str, App]
    sidecars: dict[str, Process]
    inbound: dict[str, int]

    def ask(self, path: str) -> tuple[int, bytes]:
        """As a user, who begins no trace."""
        status, _, body = fetch(self.port, path)
        return status, body

    @property
    def ca(self) -> Path:
        return self.folder / "ca"


@contextmanager
def shop(folder: Path, receiver: Receiver, more: str = "") -> Iterator[Shop]:
    """`more`: for the gateway's [export] and beyond."""
    ca, certs = folder / "ca", folder / "certs"
    _done("ca", "make", "--dir", str(ca), "--domain", "mesh")
    _done("ca", "issue", "spiffe://mesh/gateway", "--dir", str(ca), "--out", str(certs))
    inbound = {name: free_port() for name in NAMES}
    apps: dict[str, App] = {}
    sidecars: dict[str, Process] = {}
    with ExitStack() as stack:
        following = ""
        for name in reversed(NAMES):
            app = App(name, following, outbound=free_port())
            apps[name] = stack.enter_context(running(app))
            text = SIDECAR.format(
                name=name, app=app.port, inbound=inbound[name], outbound=app.outbound,
                ca=ca, caller=CALLERS[name], otlp=receiver.endpoint, admin=(admin := free_port()),
            )  # fmt: skip
            for other in NAMES:
                text += UPSTREAM.format(name=other, port=inbound[other]) if other != name else ""
                text += PATIENCE if (name, other) == ("orders", "payments") else ""
            (file := folder / f"{name}.toml").write_text(text)
            sidecars[name] = stack.enter_context(spangate(admin, "sidecar", str(file)))
            following = name
        port, admin = free_port(), free_port()
        text = GATEWAY.format(
            port=port, admin=admin, otlp=receiver.endpoint, users=inbound["users"], certs=certs,
            more=more,
        )  # fmt: skip
        (file := folder / "gateway.toml").write_text(text)
        gateway = stack.enter_context(spangate(admin, "run", "--workers", "1", str(file)))
        for one in (*sidecars.values(), gateway):
            one.wait_ready()
        yield Shop(port, folder, receiver, apps, sidecars, inbound)


def _done(*words: str) -> None:
    done = command(*words)
    assert done.returncode == 0, done.stderr
