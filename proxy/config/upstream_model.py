"""Tables about servers and who of them is asked, as frozen structs: see `model.py`."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.config.health import Breaker as Breaker
from proxy.config.health import Eject as Eject
from proxy.config.health import Health as Health
from proxy.config.observe import Propagate
from proxy.config.retry_model import Retry
from proxy.config.section import Count, Positive, Section
from proxy.config.units import Seconds, Share


class UpstreamTls(Section, frozen=True):
    """How servers at https:// prove who they are, and how this gateway does."""

    ca: str = ""  # path of the authorities that count, PEM; "" = the system's
    cert: str = ""  # path of this gateway's own certificate and its chain, PEM
    key: str = ""  # path of its private key, PEM
    server_name: str = ""  # asked for by SNI and verified; "" = the host of the URL
    identities: list[str] = field(default_factory=list)  # URI names, one of which it must have
    verify: bool = True  # false: take any certificate, which is for tests alone
    min: Literal["1.2", "1.3"] = "1.2"  # the oldest version of TLS that is spoken


class Pool(Section, frozen=True):
    """Warm connections, counted for each worker and endpoint."""

    idle: Count = 10000  # kept at most; as many as there are clients, so that none dials anew
    idle_timeout: Seconds = Seconds(4)  # below what servers commonly keep; linkerd: 3 s
    max_age: Seconds = Seconds(300)  # then dialled anew, by what DNS says then; 0 = never


class Balance(Section, frozen=True):
    """Which server gets the next request."""

    # round_robin: smooth weighted; least_request, peak_ewma: the better one of two by chance
    policy: Literal["round_robin", "random", "least_request", "peak_ewma", "hash"] = "round_robin"
    on: str = ""  # of "hash": "header:NAME", "cookie:NAME", "client", "path:NAME"
    algorithm: Literal["maglev", "ring"] = "maglev"  # of "hash"; ring: with bounded loads


class Sticky(Section, frozen=True):
    """A cookie by which a client comes back to its server."""

    cookie: str  # its name
    ttl: Seconds = Seconds(0)  # how long clients keep it; 0 = until they are closed
    key: str = ""  # what it is signed with; "" = made at start, so a restart lets clients go


class Dns(Section, frozen=True):
    """Who is asked where upstreams discover their servers by DNS."""

    servers: list[str] = field(default_factory=list)  # "10.0.0.2:53"; [] = the system's


class UpstreamLimits(Section, frozen=True):
    """What may be under way at all servers of an upstream together, from all workers; 0 = any
    number."""

    connections: Count = 0  # open to its servers, idle ones included
    pending: Count = 0  # requests that wait for their turn; 0 = what is too much is refused at once
    requests: Count = 0  # being forwarded, until their answers have ended
    retries: Count = 0  # of these, those that are being tried again
    adaptive: bool = False  # as many requests at once as its servers take without a queue


class Upstream(Section, frozen=True):
    """Servers, and which of them is asked."""

    servers: dict[str, Positive] = field(default_factory=dict)  # URL -> weight
    discover: str = ""  # more servers: "dns://orders.internal:8000", "srv://…", "file:///…"
    protocol: Literal["auto", "h1", "h2"] = "auto"  # auto: by ALPN where there is TLS, else h1
    tls: UpstreamTls = UpstreamTls()  # for https:// servers
    send_proxy: Literal["off", "v1", "v2"] = "off"  # tell servers of the client by a PROXY header
    balance: Balance = Balance()  # a policy's name, or a table
    sticky: Sticky | None = None
    slow_start: Seconds = Seconds(0)  # what a new server takes to get its whole share
    backup: dict[str, Positive] = field(default_factory=dict)  # servers for when others are down
    zone: str = ""  # where this gateway is: servers there are asked first; "" = anywhere
    zones: dict[str, list[str]] = field(default_factory=dict)  # zone -> URLs of its servers
    health: Health | None = None
    eject: Eject | None = None
    breaker: Breaker | None = None
    limits: UpstreamLimits | None = None  # what may be under way there at once
    # the answer where it has no server at all: 500 = what routes say leads nowhere
    empty_status: Literal[500, 503] = 503
    panic: Share = Share(0)  # below this share of servers that are up backups, or all, get traffic
    pool: Pool = Pool()
    propagate: Propagate = Propagate()  # what is sent on of trace context
    timeout: Seconds | None = None  # the client's whole wait, instead of that in [defaults]
    connect_timeout: Seconds | None = None  # for one connection to a server
    tls_timeout: Seconds | None = None  # of that, the TLS handshake
    first_byte_timeout: Seconds | None = None  # from the request's end to the response head
    idle_timeout: Seconds | None = None  # without a byte in either direction
    stream_timeout: Seconds | None = None  # the whole exchange, as a tunnel or stream too
    retry: Retry | None = None  # instead of that in [defaults]

    def everyone(self) -> dict[str, int]:
        """Servers and backups: URL -> weight."""
        return {**self.servers, **self.backup} if self.backup else self.servers
