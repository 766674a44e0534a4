"""Settings of the Zipkin exporter."""

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
    """[collector.exporters.zipkin]"""

    endpoint: str = "http://localhost:9411/api/v2/spans"  # used as it stands
    tls: TlsClient = field(default_factory=TlsClient)
    headers: dict[str, str] = field(default_factory=dict)
    compression: Literal["none", "gzip"] = "none"
    timeout: Seconds = Seconds(5)
    retry_on_failure: Retry = field(default_factory=Retry)
    sending_queue: Queue = field(default_factory=Queue)

    def problems(self) -> Problems:
        remedy = 'write "http://localhost:9411/api/v2/spans"'
        try:
            scheme, _, _, path = parse_otlp(self.endpoint)
        except ValueError:
            scheme = path = ""
        if scheme not in ("http", "https"):
            yield ("endpoint",), f"{self.endpoint!r} is not http:// or https://", remedy
        elif not path.strip("/"):
            yield ("endpoint",), f"{self.endpoint!r} has no path", remedy
        yield from check_headers("headers", self.headers)
        yield from check_tls("tls", self.tls)
        yield from check_queue("sending_queue", self.sending_queue)
