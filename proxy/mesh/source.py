"""Where identities come from: `[mesh] identity = { ca = … }` taken apart, and what a source is.

    local:///DIR               an authority on this disk (`local.py`)
    files:///DIR               files that somebody else keeps up to date (`files.py`)
    spiffe:///run/agent.sock   the SPIFFE Workload API (`workload.py`)

A source runs for as long as it is wanted; what it has is put into `Puts`, the whole of it each
time, and so is why it has nothing.
"""

from __future__ import annotations

from typing import Protocol

from proxy.config.mesh_identity import FILES, LOCAL, parse_ca, who
from proxy.config.model import Config
from proxy.mesh.svid import Svid


class Puts(Protocol):
    """Whoever keeps what sources have."""

    async def put(self, svid: Svid) -> bool:
        """This counts from now on; returns when it is in force. False if it does not come into
        force, which has been told: then a source puts what it has by then before long."""

    def failed(self, why: str) -> None:
        """Nothing new for now; what there is stays."""


class Source(Protocol):
    """One of them."""

    def first(self, now: float) -> Svid | None:
        """What can be had without waiting; None = nothing. ValueError, OSError."""

    async def run(self, into: Puts) -> None:
        """Until it is cancelled."""


def source_of(config: Config) -> Source | None:
    """What the configuration names, None = nothing."""
    said = config.mesh.identity if config.mesh is not None else None
    if said is None:
        return None
    ca = parse_ca(said.ca)
    if ca.kind == LOCAL:
        from proxy.mesh.local import Local

        return Local(ca.path, who(config), said.domain, said.ttl)
    if ca.kind == FILES:
        from proxy.mesh.files import Files

        return Files(ca.path)
    from proxy.mesh.workload import Workload  # and with it an engine of HTTP/2

    return Workload(ca.path)
