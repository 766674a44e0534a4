"""Snappy's block format, in which remote write is compressed, guarded against bombs.

The library is an extra; without it, `load` says what to install. Source: google/snappy
format_description.txt: a varint with the uncompressed length comes first.
"""

from __future__ import annotations

from proxy.otlp.wire import WireError

# A copy of three bytes gives at most 64: what claims more is no snappy.
MOST_TIMES = 22


class Missing(Exception):
    """The library is not installed; the message says what to do."""


def load() -> None:
    """Raises Missing."""
    try:
        import cramjam  # noqa: F401
    except ImportError:
        raise Missing("this needs cramjam: pip install 'spangate[prometheus]'") from None


def length(body: bytes) -> int:
    """What `body` says that it will be, uncompressed; raises WireError."""
    value = shift = 0
    for byte in body[:5]:
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > len(body) * MOST_TIMES:
                raise WireError(f"{len(body)} bytes cannot become {value}")
            return value
        shift += 7
    raise WireError("no length at the start")


def decompress(body: bytes) -> bytes:
    """Ask `length` before; raises WireError."""
    import cramjam

    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise WireError(f"not snappy's block format: {error}") from None


def compress(body: bytes) -> bytes:
    import cramjam

    return bytes(cramjam.snappy.compress_raw(body))
