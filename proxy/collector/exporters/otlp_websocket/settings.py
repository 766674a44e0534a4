"""Settings of the exporter of OTLP over WebSocket."""

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
    """[collector.exporters.otlp_websocket]"""

    endpoint: str = "ws://localhost:4318"  # a base URL: v1/traces and so on are appended
    tls: TlsClient = field(default_factory=TlsClient)
    headers: dict[str, str] = field(default_factory=dict)  # when connecting
    compression: Literal["none", "gzip", "deflate", "zstd"] = "none"  # of each message by itself
    timeout: Seconds = Seconds(30)  # for one message to be answered, connecting included
    retry_on_failure: Retry = field(default_factory=Retry)
    sending_queue: Queue = field(default_factory=Queue)

    @property
    def url(self) -> str:
        """As OTLP/HTTP's; ws:// is http:// and wss:// is https://."""
        scheme, separator, rest = self.endpoint.partition("://")
        known = {"ws": "http", "wss": "https"}
        return f"{known.get(scheme.lower(), scheme)}{separator}{rest}"

    def problems(self) -> Problems:
        try:
            if parse_otlp(self.url)[0] not in ("http", "https"):
                raise ValueError(f"{self.endpoint!r} is not ws:// or wss://")
        except ValueError as error:
            yield ("endpoint",), str(error), 'write "ws://localhost:4318"'
        yield from check_headers("headers", self.headers)
        yield from check_tls("tls", self.tls)
        yield from check_queue("sending_queue", self.sending_queue)
