"""Settings of the OTLP/gRPC exporter; names of the OpenTelemetry Collector's."""

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
    """[collector.exporters.otlp_grpc]"""

    endpoint: str = "localhost:4317"  # host:port without TLS; grpcs://host:port with it
    tls: TlsClient = field(default_factory=TlsClient)
    headers: dict[str, str] = field(default_factory=dict)
    compression: Literal["none", "gzip", "deflate", "zstd", "snappy"] = "none"
    timeout: Seconds = Seconds(5)
    retry_on_failure: Retry = field(default_factory=Retry)
    sending_queue: Queue = field(default_factory=Queue)

    @property
    def url(self) -> str:
        """In the form of [export] otlp; http:// and https:// say what they say elsewhere."""
        scheme, separator, rest = self.endpoint.rpartition("://")
        known = {"http": "grpc", "https": "grpcs"}
        return f"{known.get(scheme, scheme)}://{rest}" if separator else f"grpc://{rest}"

    def problems(self) -> Problems:
        try:
            if not parse_otlp(self.url)[0].startswith("grpc"):
                raise ValueError(f"{self.endpoint!r} is not gRPC: use the otlp_http exporter")
        except ValueError as error:
            yield ("endpoint",), str(error), 'write "localhost:4317" or "grpcs://host:4317"'
        yield from check_headers("headers", self.headers)
        yield from check_tls("tls", self.tls)
        yield from check_queue("sending_queue", self.sending_queue)
