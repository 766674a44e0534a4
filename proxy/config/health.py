"""What upstreams say of the health of their servers: probes, ejection, breakers.

Part of the model (`model.py`), which says what holds for all of it.
"""

from __future__ import annotations

from msgspec import field

from proxy.config.section import Count, Port, Positive, Section, Status
from proxy.config.units import Seconds, Share


class Health(Section, frozen=True):
    """Active probes, made by the hub; without it every endpoint counts as healthy."""

    path: str = "/healthz"  # what is asked for
    grpc: str | None = None  # ask gRPC's health protocol instead, for this service; "" = the server
    tcp: bool = False  # ask nothing: a server that takes a connection is well
    port: Port | None = None  # where to ask; None = where requests go
    host: str | None = None  # Host of the probe; None = the routes' host_header, else the server's
    every: Seconds = Seconds(5)  # the pause between two probes
    timeout: Seconds = Seconds(2)  # for one probe
    status: list[Status] = field(default_factory=lambda: [200, 204])  # what counts as healthy
    body: str = ""  # what the answer must have in its first 64 KiB: a text, "~regex"; "" = anything
    rise: Positive = 2  # good probes until up again
    fall: Positive = 3  # bad probes until down


class Eject(Section, frozen=True):
    """Servers that answer badly get no requests for a time; judged by the hub, for all workers."""

    errors: Count = 5  # failed tries in a row: 5xx, or no complete answer; 0 = however many
    success_rate: bool = True  # also servers that succeed much more rarely than the others
    base: Seconds = Seconds(30)  # the first time out; the second is twice as long, up to ten times
    max: Share = Share(0.5)  # no more than this share of the servers at once, but at least one


class Breaker(Section, frozen=True):
    """A server that fails too often gets no requests; judged by each worker for itself."""

    failures: Share = Share(0.5)  # this share of the tries in the window opens it, 10 at least
    window: Seconds = Seconds(10)  # how far back is looked
    open: Seconds = Seconds(5)  # then one request at a time finds out whether it is well again
