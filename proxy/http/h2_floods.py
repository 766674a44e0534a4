"""Frames of HTTP/2 that cost more to answer than to send, counted before the engine sees them.

libnghttp2 bounds rapid resets, CONTINUATION and malformed streams, but answers PING, SETTINGS and
WINDOW_UPDATE for as long as somebody reads its answers. Here every frame's first nine bytes are
looked at (RFC 9113 §4.1): those that move no content need a token. Tokens come back with time, and
with content that is sent, since honest peers answer that with WINDOW_UPDATE and PING.
"""

from __future__ import annotations

_DATA, _HEADERS, _RST_STREAM, _PUSH, _CONTINUATION = 0, 1, 3, 5, 9
_END_STREAM, _END_HEADERS = 1, 4
_HEADER = 9  # bytes before each frame's payload

SLICE = 128  # units of work that are fed to the engine at once
_STREAM = 8  # units of a frame that may begin an exchange


class Bucket:
    """Tokens: `burst` of them at first, and `rate` more each second (Envoy has fixed ratios)."""

    __slots__ = ("_burst", "_rate", "_since", "_tokens")

    def __init__(self, burst: int, rate: int) -> None:
        self._burst = burst
        self._rate = rate
        self._tokens = float(burst)
        self._since = 0

    def take(self, now: int) -> bool:
        """One token at `now` (monotonic ns); False: there is none."""
        if self._since:
            self.earn((now - self._since) * 1e-9 * self._rate)
        self._since = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def earn(self, tokens: float) -> None:
        """So many for honest work, never more than the burst."""
        self._tokens = min(self._burst, self._tokens + tokens)


class FrameCounter:
    """Where frames begin in what a peer sends, and whether it sends too many that only cost."""

    __slots__ = ("_head_open", "_last_ends", "control", "flooded", "resets", "skip")

    def __init__(self, preface: int) -> None:
        self.skip = preface  # bytes until the next frame begins
        self.control = Bucket(1000, 100)
        self.resets = Bucket(500, 50)  # a burst of 500 pairs is 1,000 frames
        self.flooded = False
        self._head_open = False  # more of it is to come
        self._last_ends = False  # when the frame that came in part is whole

    @property
    def in_head(self) -> bool:
        """Whether a header block has begun and not ended."""
        return self._head_open

    def slice(self, data: bytes, begin: int, now: int) -> int:
        """Up to where `data` from `begin` on may be fed now: whole frames and the begin of one, at
        most a slice of them. What is left begins with a frame's header, and comes again."""
        at, size, work = begin + self.skip, len(data), SLICE
        if begin < at <= size and self._last_ends:
            self._head_open = self._last_ends = False
        while at + _HEADER <= size and work > 0:
            length = data[at] << 16 | data[at + 1] << 8 | data[at + 2]
            kind = data[at + 3]
            if kind in (_HEADERS, _CONTINUATION, _PUSH):
                work -= _STREAM
                whole = at + _HEADER + length <= size
                self._last_ends = data[at + 4] & _END_HEADERS != 0
                self._head_open = not (whole and self._last_ends)
            elif kind == _DATA and (length or data[at + 4] & _END_STREAM):
                work -= 1
            elif kind == _RST_STREAM:
                work -= _STREAM
                self.flooded |= not self.resets.take(now)
            else:
                work -= 1
                self.flooded |= not self.control.take(now)
            if self.flooded:
                return at
            at += _HEADER + length
        if at > size:
            self.skip = at - size
            return size
        self.skip = 0
        return at
