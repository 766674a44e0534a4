"""Settings of the remote-write receiver."""

from __future__ import annotations

from msgspec import field

from proxy.collector.parts import Auth, Problems, TlsServer, check_address
from proxy.config.section import Section
from proxy.config.units import Size

MIB = 1024 * 1024


class Settings(Section, frozen=True):
    """[collector.receivers.prometheus_remote_write]"""

    endpoint: str  # address to listen on, customarily ":9090"
    path: str = "/api/v1/write"  # what is posted to
    max_request_size: Size = Size(32 * MIB)  # uncompressed
    max_in_flight_size: Size = Size(128 * MIB)  # of all requests being read; 0 = no limit
    tls: TlsServer | None = None
    auth: Auth = field(default_factory=Auth)

    def problems(self) -> Problems:
        yield from check_address("endpoint", self.endpoint)
        if not self.path.startswith("/"):
            yield ("path",), "a path begins with /", 'write "/api/v1/write"'
        if not self.max_request_size:
            yield ("max_request_size",), "a request cannot be unlimited", 'write "32MiB"'
