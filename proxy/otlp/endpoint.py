"""Endpoint: where OTLP goes and how it is spoken there, read from one URL of the configuration.

grpc://host:4317   grpcs://host:4317            gRPC without and with TLS; port 4317 if not said
http://host:4318   https://host:4318/prefix     protobuf; a base URL: v1/<signal> is appended
http+json://…      https+json://…               the same with JSON bodies
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

PATHS = {
    "traces": "v1/traces",
    "metrics": "v1/metrics",
    "logs": "v1/logs",
    "profiles": "v1development/profiles",
}

_SCHEMES: dict[str, tuple[Literal["grpc", "protobuf", "json"], bool]] = {
    "grpc": ("grpc", False),
    "grpcs": ("grpc", True),
    "http": ("protobuf", False),
    "https": ("protobuf", True),
    "http+json": ("json", False),
    "https+json": ("json", True),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A parsed endpoint. `name` is the text without user, password and query: fit for labels."""

    name: str
    protocol: Literal["grpc", "protobuf", "json"]
    tls: bool
    base: str  # gRPC: "host:port"; HTTP: "http://user@host:port/prefix" without a final slash
    host: str
    port: int = 0  # 0: that of the scheme
    exact: Mapping[str, str] = field(default_factory=dict)  # HTTP: signal -> URL as it stands

    def url(self, signal: str) -> str:
        """HTTP: the address for that signal (OTLP exporter specification, endpoint URLs)."""
        return self.exact.get(signal) or f"{self.base}/{PATHS[signal]}"


def parse(text: str) -> Endpoint:
    """Raises ValueError with what is wrong and what to write instead."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is not a URL: {error}") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"{text!r}: write grpc://host:4317, http://host:4318 or http+json://…")
    if not parts.hostname:
        raise ValueError(f"{text!r} names no host: write {parts.scheme}://host:port")
    protocol, tls = _SCHEMES[parts.scheme]
    address = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if protocol == "grpc" and port is None:
        port = 4317
    if port is not None:
        address = f"{address}:{port}"
    path = parts.path.rstrip("/")
    name = f"{parts.scheme}://{address}{path}"
    if protocol == "grpc":
        if path:
            raise ValueError(f"{text!r}: gRPC has no path, write {parts.scheme}://{address}")
        return Endpoint(name, protocol, tls, address, parts.hostname, port or 4317)
    user = parts.netloc.rpartition("@")[0]
    before = f"{user}@" if user else ""
    scheme = "https" if tls else "http"
    base = f"{scheme}://{before}{address}{path}"
    return Endpoint(name, protocol, tls, base, parts.hostname, port or 0)
