"""Snappy in both of its forms, piece by piece where the form lets one.

Frames are decoded one by one, each at most 64 KiB. A bare block says first how much it will be and
has to be there as a whole; so it is gathered as it comes, and `unpack` at the end asks its length
before anything else. Which of the two it is, shows in the first bytes: senders call both "snappy".

Source: google/snappy framing_format.txt and format_description.txt.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.otlp.wire import WireError

MAGIC = b"\xff\x06\x00\x00sNaPpY"
_IDENTIFIER, _COMPRESSED, _PLAIN = 0xFF, 0x00, 0x01
_FIRST_SKIPPABLE = 0x80
_MOST = 65_536  # bytes of a frame, uncompressed
_FRAMES = 2048  # in a step
MOST_TIMES = 22  # a copy of three bytes gives at most 64: what claims more is no snappy


class Frames:
    """A codec of `inflate`."""

    __slots__ = ("_begun", "_buf", "_piece", "_pos")

    def __init__(self, piece: int) -> None:
        """At most about `piece` bytes in a step."""
        self._piece = piece
        self._buf = b""
        self._pos = 0
        self._begun = False

    def step(self, data: bytes) -> bytes:
        if data:
            self._buf, self._pos = self._buf[self._pos :] + data, 0
        out: list[bytes] = []
        size = 0
        for made in self._frames():
            out.append(made)
            size += len(made)
            if size >= self._piece or len(out) >= _FRAMES:
                break
        return b"".join(out)

    def hungry(self) -> bool:
        return self._end() is None

    def complete(self) -> bool:
        return self._begun and self._pos == len(self._buf)

    def _end(self) -> int | None:
        """Where the next frame ends; None if it is not there as a whole."""
        body = self._pos + 4
        if body > len(self._buf):
            return None
        end = body + int.from_bytes(self._buf[self._pos + 1 : body], "little")
        return end if end <= len(self._buf) else None

    def _frames(self) -> Iterator[bytes]:
        while (end := self._end()) is not None:
            frame = self._buf[self._pos : end]
            self._pos = end
            kind = frame[0]
            if kind == _IDENTIFIER:
                self._begun = frame == MAGIC
            if not self._begun or (kind > _PLAIN and kind < _FIRST_SKIPPABLE):
                raise WireError(f"not snappy's framing format: a frame of type {kind}")
            yield _decoded(frame) if kind in (_COMPRESSED, _PLAIN) else b""


def _decoded(frame: bytes) -> bytes:
    """With its checksum, which the library compares."""
    import cramjam

    if (length(frame[8:]) if frame[0] == _COMPRESSED else len(frame) - 8) > _MOST:
        raise WireError(f"a frame of more than {_MOST} bytes")
    try:
        return bytes(cramjam.snappy.decompress(MAGIC + frame))
    except cramjam.DecompressionError as error:
        raise WireError(f"not snappy's framing format: {error}") from None


class Either:
    """A codec of `inflate`: frames, or a block, of which the bytes are passed on as they came."""

    __slots__ = ("_first", "_frames", "_piece", "is_block")

    def __init__(self, piece: int) -> None:
        self._piece = piece
        self._first = b""  # too little to see which it is
        self._frames: Frames | None = None
        self.is_block = True

    def step(self, data: bytes) -> bytes:
        if self._frames is not None:
            return self._frames.step(data)
        data, self._first = self._first + data, b""
        if data.startswith(MAGIC):
            self.is_block = False
            self._frames = Frames(self._piece)
            return self._frames.step(data)
        if data and MAGIC.startswith(data):
            self._first = data
            return b""
        return data

    def hungry(self) -> bool:
        return self._frames is None or self._frames.hungry()

    def complete(self) -> bool:
        return self._frames.complete() if self._frames is not None else not self._first


def length(body: bytes) -> int:
    """What a block says that it will be, uncompressed; raises WireError."""
    value = shift = 0
    for byte in body[:5]:
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > len(body) * MOST_TIMES:
                raise WireError(f"{len(body)} bytes cannot become {value}")
            return value
        shift += 7
    raise WireError("no length at the start")


def unpack(body: bytes) -> bytes:
    """A block; ask `length` before. Raises WireError."""
    import cramjam

    try:
        return bytes(cramjam.snappy.decompress_raw(body))
    except cramjam.DecompressionError as error:
        raise WireError(f"not snappy's block format: {error}") from None
