"""Settings of the Jaeger exporter."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.collector.parts import (
    Problems,
    Queue,
    Retry,
    TlsClient,
    check_headers,
    check_queue,
    check_tls,
)
from proxy.config.section import Section
from proxy.config.syntax import parse_otlp
from proxy.config.units import Seconds


class Settings(Section, frozen=True):
    """[collector.exporters.jaeger]"""

    endpoint: str = "localhost:14250"  # host:port without TLS; grpcs://host:port with it
    tls: TlsClient = field(default_factory=TlsClient)
    headers: dict[str, str] = field(default_factory=dict)
    compression: Literal["none", "gzip", "deflate", "zstd", "snappy"] = "none"
    timeout: Seconds = Seconds(5)
    retry_on_failure: Retry = field(default_factory=Retry)
    sending_queue: Queue = field(default_factory=Queue)

    @property
    def url(self) -> str:
        return self.endpoint if "://" in self.endpoint else f"grpc://{self.endpoint}"

    def problems(self) -> Problems:
        remedy = 'write "localhost:14250" or "grpcs://host:14250"'
        try:
            scheme, _, port, _ = parse_otlp(self.url)
        except ValueError:
            scheme, port = "", 0
        if scheme not in ("grpc", "grpcs"):
            yield ("endpoint",), f"{self.endpoint!r} is not a gRPC address", remedy
        elif not port:
            yield ("endpoint",), f"{self.endpoint!r} has no port", remedy
        yield from check_headers("headers", self.headers)
        yield from check_tls("tls", self.tls)
        yield from check_queue("sending_queue", self.sending_queue)
