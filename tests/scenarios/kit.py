"""What the scenarios share: the sidecar of a service, and ports where others are told to look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.hub.test_sidecar import running
from tests.ports import free_port

SIDECAR = """
drain_timeout = "1s"
[mesh]
name = "{name}"
app = "127.0.0.1:{app}"
inbound = "127.0.0.1:{inbound}"
outbound = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[access_log]
stdout = false
[export]
otlp = "{collector}"
batch_age = "50ms"
metrics_interval = "200ms"
"""


@contextmanager
def sidecar(folder: Path, name: str, app: int, collector: str) -> Iterator[int]:
    """The sidecar of the service `name`, which listens on `app`, by its inbound port; it tells
    to the collector at `collector`."""
    inbound = free_port()
    file = folder / f"{name}.toml"
    file.write_text(SIDECAR.format(name=name, app=app, inbound=inbound, collector=collector))
    with running(str(file)):
        yield inbound
