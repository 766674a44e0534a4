"""Snappy's block format, in which remote write is compressed, guarded against bombs.

The library is an extra; without it, `load` says what to install. Source: google/snappy
format_description.txt: a varint with the uncompressed length comes first.
"""

from __future__ import annotations

from proxy.otlp.unsnap import length
from proxy.otlp.unsnap import unpack as decompress

__all__ = ["Missing", "compress", "decompress", "length", "load"]


class Missing(Exception):
    """The library is not installed; the message says what to do."""


def load() -> None:
    """Raises Missing."""
    try:
        import cramjam  # noqa: F401
    except ImportError:
        raise Missing("this needs cramjam: pip install cramjam") from None


def compress(body: bytes) -> bytes:
    import cramjam

    return bytes(cramjam.snappy.compress_raw(body))
