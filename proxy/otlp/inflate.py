"""Decompression of requests, piece by piece, which ends when there is more than is allowed.

Knows content codings and no transport: those of RFC 9110 §8.4.1, zstd (RFC 9659), and the others
that OpenTelemetry's collector takes, as it names them. A bomb costs the memory and time of the cap,
whatever it claims to become.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from proxy.otlp import unsnap
from proxy.otlp.wire import WireError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE = 1024 * 1024  # bytes of output between two chances for others: 1 to 3 ms
# RFC 9659 §3: a window of 8 MiB must do, and more need not be accepted.
_ZSTD_WINDOW = {int(zstd.DecompressionParameter.window_log_max): 23}
# Members of gzip, frames of zstd. What is behind one is copied for the next, so that a megabyte
# of empty ones would be hours of work.
MEMBERS = 64
_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's window bits


class TooLarge(Exception):
    """More bytes than a request may have."""


class _Codec(Protocol):
    def step(self, data: bytes) -> bytes:
        """At most PIECE bytes more; after the first call `data` is b"" until new input comes."""

    def hungry(self) -> bool:
        """Whether a step with b"" would give nothing."""

    def complete(self) -> bool: ...


class Inflater:
    """Takes a body in chunks. `encoding` is one of ENCODINGS, `cap` in bytes of output."""

    __slots__ = ("_cap", "_codec", "_pieces", "size")

    def __init__(self, encoding: str, cap: int) -> None:
        self._codec: _Codec = _CODECS[encoding]()
        self._cap = cap
        self._pieces: list[bytes] = []
        self.size = 0

    def feed(self, chunk: bytes) -> Iterator[None]:
        """Yields after each PIECE, so that the caller can let others run.

        Raises TooLarge, and WireError for what is not compressed as it says.
        """
        data = chunk
        while True:
            try:
                piece = self._codec.step(data)
            except (zlib.error, zstd.ZstdError) as error:
                raise WireError(f"cannot be decompressed: {error}") from None
            data = b""
            if piece:
                self._pieces.append(piece)
                self.size += len(piece)
                if self.size > self._cap:
                    self._pieces.clear()
                    raise TooLarge
            if self._codec.hungry():
                return
            yield

    @property
    def is_block(self) -> bool:
        """Whether `finish` is what decompresses it, all at once: 1.4 ms a megabyte."""
        return isinstance(self._codec, unsnap.Either) and self._codec.is_block

    def finish(self) -> bytes:
        """Everything; raises WireError if the end is missing, and TooLarge."""
        if not self._codec.complete():
            raise WireError("the compressed body is cut off")
        whole = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        if self.is_block:
            if unsnap.length(whole) > self._cap:
                raise TooLarge
            whole = unsnap.unpack(whole)
            self.size = max(self.size, len(whole))
        return whole


class _Plain:
    __slots__ = ()

    def step(self, data: bytes) -> bytes:
        return data

    def hungry(self) -> bool:
        return True

    def complete(self) -> bool:
        return True


class _Zlib:
    """gzip, of one member or several, and deflate with zlib's header or without."""

    __slots__ = ("_bits", "_codec", "_full", "_members", "_tail")

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._codec: zlib._Decompress | None = None
        self._members = 0
        self._tail = b""
        self._full = False

    def step(self, data: bytes) -> bytes:
        data = self._tail + data if self._tail else data
        if self._codec is None or (self._codec.eof and data):
            if len(data) < 2:  # not enough to see a header
                self._tail, self._full = data, False
                return b""
            self._codec = zlib.decompressobj(self._window(data))
            self._members = _counted(self._members)
        piece = self._codec.decompress(data, PIECE)
        if self._codec.eof:
            self._tail = self._codec.unused_data
            self._full = len(self._tail) >= 2
        else:
            self._tail = self._codec.unconsumed_tail
            self._full = len(piece) == PIECE
        return piece

    def hungry(self) -> bool:
        return not self._full

    def complete(self) -> bool:
        return self._codec is not None and self._codec.eof and not self._tail

    def _window(self, data: bytes) -> int:
        """RFC 9110 §8.4.1.2: deflate has zlib's header; some senders leave it out."""
        has_header = data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
        return _RAW if self._bits == _ZLIB and not has_header else self._bits


class _Framed:
    """Zstandard or LZ4, one frame or several; `make` begins to read one."""

    __slots__ = ("_codec", "_full", "_make", "_members", "_tail")

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._codec = make()
        self._members = 0
        self._tail = b""
        self._full = False

    def step(self, data: bytes) -> bytes:
        data = self._tail + data if self._tail else data
        if self._codec.eof:
            if not data:
                return b""
            self._codec = self._make()
            self._members = _counted(self._members)
        try:
            piece: bytes = self._codec.decompress(data, PIECE)
        except RuntimeError as error:  # lz4's
            raise WireError(f"cannot be decompressed: {error}") from None
        self._tail = self._codec.unused_data or b"" if self._codec.eof else b""
        self._full = bool(self._tail) or not (self._codec.eof or self._codec.needs_input)
        return piece

    def hungry(self) -> bool:
        return not self._full

    def complete(self) -> bool:
        return bool(self._codec.eof)


def _zstd() -> Any:
    return zstd.ZstdDecompressor(options=_ZSTD_WINDOW)


def _lz4() -> Any:
    import lz4.frame

    return lz4.frame.LZ4FrameDecompressor()


def _counted(members: int) -> int:
    if members >= MEMBERS:
        raise zlib.error(f"more than {MEMBERS} compressed pieces in a row")
    return members + 1


_CODECS: dict[str, Callable[[], _Codec]] = {
    "identity": _Plain,
    "": _Plain,
    "gzip": lambda: _Zlib(_GZIP),
    "x-gzip": lambda: _Zlib(_GZIP),
    "deflate": lambda: _Zlib(_ZLIB),
    "zlib": lambda: _Zlib(_ZLIB),
    "zstd": lambda: _Framed(_zstd),
    "lz4": lambda: _Framed(_lz4),
    "snappy": lambda: unsnap.Either(PIECE),
    "x-snappy-framed": lambda: unsnap.Frames(PIECE),
}
# As they are offered to clients.
ENCODINGS = ("gzip", "zstd", "deflate", "zlib", "snappy", "x-snappy-framed", "lz4")


def at_once(encoding: str, body: bytes) -> bytes | None:
    """What is in a small body; None = that may take long, or is not in it."""
    if not encoding:
        return body
    inflater = Inflater(encoding, PIECE)
    try:
        return None if any(True for _ in inflater.feed(body)) else inflater.finish()
    except (TooLarge, WireError):
        return None


def is_known(encoding: str) -> bool:
    return encoding in _CODECS
