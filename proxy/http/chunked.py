"""The chunked transfer coding (RFC 9112 §7.1): from wire bytes to content, strictly.

Chunk extensions are dropped and limited, trailers are dropped by rule (RFC 9110 §6.5.1 allows it,
and merging them is how trusted names get smuggled past a header filter). Bare LF, spaces around a
size, sizes of more than 16 digits, and control bytes are errors.
"""

from __future__ import annotations

import re

# An extension may hold anything printable; it ends at CRLF only (CVE-2025-43859, -2024-52304).
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_MOST_LINE = 16 + 256  # a size and 256 bytes of extension
_MOST_EXTENSIONS = 16 * 1024  # in one body
_MOST_TRAILERS = 8 * 1024

SIZE, DATA, DATA_END, TRAILER, DONE = range(5)


class ChunkedError(ValueError):
    """The bytes are not a chunked body; whose fault that is, the caller knows."""


class ChunkedDecoder:
    """Feed it wire bytes; it returns the content in them. `rest` holds what comes after the end."""

    __slots__ = ("_extensions", "_left", "_line", "_state", "_trailers", "rest")

    def __init__(self) -> None:
        self._state = SIZE
        self._left = 0  # bytes of the current chunk still to come
        self._line = b""  # an incomplete line
        self._extensions = 0
        self._trailers = 0
        self.rest = b""

    @property
    def done(self) -> bool:
        return self._state == DONE

    def feed(self, data: bytes) -> list[bytes]:
        """Pieces of content, in order, none of them empty. Raises ChunkedError."""
        out: list[bytes] = []
        if self._line:
            data = self._line + data
            self._line = b""
        position, end = 0, len(data)
        while position < end and self._state != DONE:
            if self._state == DATA:
                piece = data[position : position + self._left]
                out.append(piece)
                position += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._state = DATA_END
                continue
            line_end = data.find(b"\r\n", position)
            if line_end < 0:
                self._keep(data[position:])
                return out
            self._take_line(data[position:line_end])
            position = line_end + 2
        if position < end:
            self.rest = data[position:]
        return out

    def _keep(self, part: bytes) -> None:
        """Remember the beginning of a line, unless it can no longer become a good one."""
        body = part.removesuffix(b"\r")
        if b"\n" in body or b"\r" in body:
            raise ChunkedError("a bare CR or LF in the chunked framing")
        if self._state == DATA_END and body:
            raise ChunkedError("a chunk is longer than its size")
        if len(part) > (_MOST_TRAILERS if self._state == TRAILER else _MOST_LINE):
            raise ChunkedError("a line of the chunked framing is too long")
        if self._state == SIZE and body and _SIZE_LINE.fullmatch(body) is None:
            self._refuse_partial(body)
        self._line = part

    def _refuse_partial(self, body: bytes) -> None:
        head = body.partition(b";")[0].rstrip(b" \t")
        if _SIZE_LINE.fullmatch(head) is None:
            raise ChunkedError("a chunk size that is not a hexadecimal number")

    def _take_line(self, line: bytes) -> None:
        if self._state == SIZE:
            self._take_size(line)
        elif self._state == DATA_END:
            if line:
                raise ChunkedError("a chunk is longer than its size")
            self._state = SIZE
        else:
            self._take_trailer(line)

    def _take_size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None or len(line) > _MOST_LINE:
            raise ChunkedError("a chunk size that is not a hexadecimal number")
        digits = match[1]
        self._extensions += len(line) - len(digits)
        if self._extensions > _MOST_EXTENSIONS:
            raise ChunkedError("too many bytes of chunk extensions")
        self._left = int(digits, 16)
        self._state = DATA if self._left else TRAILER

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self._state = DONE
            return
        self._trailers += len(line)
        if self._trailers > _MOST_TRAILERS or _TRAILER.fullmatch(line) is None:
            raise ChunkedError("trailers that are malformed or too long")
