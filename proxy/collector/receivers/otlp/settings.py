"""Settings of the OTLP receiver."""

from __future__ import annotations

from msgspec import field

from proxy.collector.parts import Auth, Problems, TlsServer, check_address
from proxy.collector.receivers.keepalive import Keepalive
from proxy.config.section import Section
from proxy.config.units import Seconds, Size

MIB = 1024 * 1024


class Cors(Section, frozen=True):
    """Which web pages may send (browsers ask before they do)."""

    allowed_origins: list[str] = field(default_factory=list)  # "https://*.example.com"; "*" = any
    allowed_headers: list[str] = field(default_factory=list)  # besides the content's own; "*" = any
    max_age: Seconds = Seconds(7200)  # how long a browser may remember the answer


class Settings(Section, frozen=True):
    """[collector.receivers.otlp]; `grpc` or `http` or both, customarily :4317 and :4318."""

    grpc: str = ""  # address to listen on, "" = not
    http: str = ""  # protobuf, JSON and WebSocket
    max_request_size: Size = Size(64 * MIB)  # decompressed
    max_in_flight_size: Size = Size(256 * MIB)  # of all requests that are being read; 0 = no limit
    validate: bool = True  # parse every request; false: look at its frame alone
    tls: TlsServer | None = None
    auth: Auth = field(default_factory=Auth)
    cors: Cors = field(default_factory=Cors)  # HTTP only
    keepalive: Keepalive = field(default_factory=Keepalive)  # gRPC only
    websocket: bool = True  # on the HTTP port, see docs/otlp-websocket.md

    def problems(self) -> Problems:
        if not self.grpc and not self.http:
            yield (), "neither `grpc` nor `http` is given", 'write grpc = "127.0.0.1:4317"'
        for key in ("grpc", "http"):
            if address := getattr(self, key):
                yield from check_address(key, address)
        if self.grpc == self.http and not self.grpc.endswith(":0") and self.grpc:
            yield ("http",), "the same address as for gRPC", "use another port"
        if not self.max_request_size:
            yield ("max_request_size",), "a request cannot be unlimited", 'write "64MiB"'
