"""What one side of an HTTP/2 connection grants the other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """Limits; sizes in bytes. Envoy's for the edge."""

    streams: int = 100  # exchanges at once that the peer may begin
    stream_window: int = 64 * 1024  # of a body that may be under way in one stream
    connection_window: int = 1024 * 1024  # and in all of them
    head_bytes: int = 64 * 1024  # of one head: the engine takes twice that, so that ours answers
    head_fields: int = 100
    connect_protocol: bool = False  # whether clients may ask for RFC 8441's CONNECT
