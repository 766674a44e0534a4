"""Settings of the OTLP/HTTP exporter; names of the OpenTelemetry Collector's."""

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
from proxy.config.slips_observe import own_paths
from proxy.config.syntax import parse_otlp
from proxy.config.units import Seconds


class Settings(Section, frozen=True):
    """[collector.exporters.otlp_http]"""

    endpoint: str = "http://localhost:4318"  # a base URL: v1/traces and so on are appended
    traces_endpoint: str = ""  # used as it stands, instead of endpoint
    metrics_endpoint: str = ""  # the same for metrics
    logs_endpoint: str = ""  # the same for logs
    encoding: Literal["proto", "json"] = "proto"  # protobuf, or JSON
    tls: TlsClient = field(default_factory=TlsClient)
    headers: dict[str, str] = field(default_factory=dict)
    compression: Literal[
        "none", "gzip", "deflate", "zlib", "zstd", "snappy", "x-snappy-framed", "lz4", "brotli"
    ] = "none"
    timeout: Seconds = Seconds(30)
    retry_on_failure: Retry = field(default_factory=Retry)
    sending_queue: Queue = field(default_factory=Queue)

    def problems(self) -> Problems:
        for key in ("endpoint", "traces_endpoint", "metrics_endpoint", "logs_endpoint"):
            url = getattr(self, key)
            try:
                if url and parse_otlp(url)[0] not in ("http", "https"):
                    raise ValueError(f"{url!r} is not http:// or https://")
            except ValueError as error:
                message = str(error).partition(": write")[0]
                yield (key,), message, 'write "http://localhost:4318"'
            if key == "endpoint" and (base := own_paths(url)):
                yield (key,), "the path of each signal is appended to it", f'write "{base}"'
        yield from check_headers("headers", self.headers)
        yield from check_tls("tls", self.tls)
        yield from check_queue("sending_queue", self.sending_queue)
