"""A slow and plain reader of the chunked coding: the oracle of `test_chunked.py`."""

from __future__ import annotations

import re

# An extension may hold anything printable; it ends at CRLF only (CVE-2025-43859, -2024-52304).
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_MOST_EXTENSION = 256  # bytes, in one chunk
_MOST_EXTENSIONS = 16 * 1024  # bytes, in one body
_MOST_TRAILERS = 8 * 1024  # bytes
_MOST_FIELDS = 64  # in the trailer section
_SMALL = 4096  # bytes of a chunk that is cheaper to copy than to handle

SIZE, DATA, DATA_END, TRAILER, DONE = range(5)


class ChunkedError(ValueError):
    """The bytes are not a chunked body; whose fault that is, the caller knows."""


class ChunkedDecoder:
    """Feed it wire bytes; it returns the content in them. `rest` holds what comes after the end."""

    __slots__ = ("_extensions", "_fields", "_left", "_line", "_state", "_trailers", "rest")

    def __init__(self) -> None:
        self._state = SIZE
        self._left = 0  # bytes of the current chunk still to come
        self._line = b""  # an incomplete line
        self._extensions = 0
        self._trailers = 0
        self._fields = 0
        self.rest = b""

    @property
    def done(self) -> bool:
        return self._state == DONE

    def feed(self, data: bytes) -> list[bytes]:
        """The content in `data`, as pieces in order, none of them empty. Raises ChunkedError.

        Small pieces come as one, so that a body in many small chunks costs whoever handles it
        no more than one in few large ones.
        """
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
                break
            self._take_line(data[position:line_end])
            position = line_end + 2
        if self._state == DONE:
            self.rest = data[position:]
        return [b"".join(out)] if len(out) > 1 and end < len(out) * _SMALL else out

    def _keep(self, part: bytes) -> None:
        """Remember the beginning of a line, unless it can no longer become a good one."""
        body = part.removesuffix(b"\r")
        if b"\n" in body or b"\r" in body:
            raise ChunkedError("a bare CR or LF in the chunked framing")
        if self._state == DATA_END and body:
            raise ChunkedError("a chunk is longer than its size")
        if self._state == SIZE and body:
            size, semicolon, _ = body.partition(b";")
            self._check_size(body if semicolon else size.rstrip(b" \t"), len(body))
        elif len(body) > _MOST_TRAILERS:
            raise ChunkedError("trailers that are too long")
        self._line = part

    def _take_line(self, line: bytes) -> None:
        if self._state == SIZE:
            self._take_size(line)
        elif self._state == DATA_END:
            if line:
                raise ChunkedError("a chunk is longer than its size")
            self._state = SIZE
        else:
            self._take_trailer(line)

    def _check_size(self, line: bytes, length: int) -> bytes:
        """The digits of a size line that is `length` bytes long until now."""
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise ChunkedError("a chunk size that is not a hexadecimal number")
        digits = match[1]
        extension = length - len(digits)
        if extension > _MOST_EXTENSION or self._extensions + extension > _MOST_EXTENSIONS:
            raise ChunkedError("too many bytes of chunk extensions")
        return digits

    def _take_size(self, line: bytes) -> None:
        digits = self._check_size(line, len(line))
        self._extensions += len(line) - len(digits)
        self._left = int(digits, 16)
        self._state = DATA if self._left else TRAILER

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self._state = DONE
            return
        self._trailers += len(line)
        self._fields += 1
        if self._trailers > _MOST_TRAILERS or self._fields > _MOST_FIELDS:
            raise ChunkedError("too many trailers")
        if _TRAILER.fullmatch(line) is None:
            raise ChunkedError("a trailer that is no header field")
