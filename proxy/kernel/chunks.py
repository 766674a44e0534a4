"""The chunked transfer coding (RFC 9112 §7.1): from wire bytes to content, strictly.

Chunk extensions are dropped and limited; trailers are kept within limits, and what becomes of them
is not decided here. Bare LF, spaces around a size, sizes of more than 16 digits, and control bytes
are errors; but an answer's sizes may have blanks behind them, because some servers write them to a
fixed width, and every other gateway takes that. However small the chunks are, one call does a
bounded amount of work. This is the twin of `chunks.pyx`.
"""

from __future__ import annotations

import re

Pair = tuple[bytes, bytes]

# An extension may hold anything printable; it ends at CRLF only (CVE-2025-43859, -2024-52304).
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_PADDED_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_MOST_EXTENSION = 256  # bytes, in one chunk
_MOST_PADDED = 4096  # the same in answers, with blanks; Go: a line of 4096
_MOST_EXTENSIONS = 16 * 1024  # bytes, in one body
_MOST_TRAILERS = 8 * 1024  # bytes
_MOST_FIELDS = 64  # in the trailer section
_MOST_LINES = 2048  # chunks that one call takes, 5 ms
_TINY_COUNT = 4  # tiny ones that count as one: a run is matched at once
_SMALL = 4096  # bytes of a chunk that is cheaper to copy than to handle

# Whole chunks of 1 to 15 bytes with nothing but their size: what a flood of chunks consists of.
_TINY_SIZES = [(b"[%x%X]" % (n, n), n) for n in range(1, 16)]
_TINY = re.compile(
    b"(?:" + b"|".join(rb"%b\r\n(.{%d})" % size for size in _TINY_SIZES) + rb")\r\n", re.DOTALL
)
_TINY_RUN = re.compile(
    b"(?:(?:" + b"|".join(rb"%b\r\n.{%d}" % size for size in _TINY_SIZES) + rb")\r\n){1,4096}",
    re.DOTALL,
)
_BARE_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
_LAST = b"0\r\n\r\n"

SIZE, DATA, DATA_END, TRAILER, DONE = range(5)


class ChunkedError(ValueError):
    """The bytes are not a chunked body; whose fault that is, the caller knows."""


class ChunkedDecoder:
    """Feed it wire bytes; it returns the content in them. `rest` holds what comes after the end,
    `trailers` the fields of the trailer section."""

    __slots__ = (
        "_budget",
        "_extensions",
        "_left",
        "_line",
        "_padded",
        "_size",
        "_state",
        "done",
        "has_more",
        "rest",
        "trailers",
    )

    def __init__(self, padded: bool = False) -> None:
        self._state = SIZE
        self._padded = padded  # it is an answer's
        self._left = 0  # bytes of the current chunk still to come
        self._line = b""  # an incomplete line
        self._extensions = 0
        self._size = 0  # bytes of trailers
        self._budget = 0  # lines that this call may still take
        self.done = False
        self.has_more = False  # the last call had enough: feed it nothing, in another turn
        self.trailers: list[Pair] = []
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The content in `data`, as pieces in order, none of them empty. Raises ChunkedError.

        Small pieces come as one, so that a body in many small chunks costs whoever handles it
        no more than one in few large ones.
        """
        out: list[bytes] = []
        if self._line:
            data = self._line + data
            self._line = b""
        self.has_more = False
        self._budget = _MOST_LINES
        position, end = 0, len(data)
        while position < end and self._state != DONE and self._budget > 0:
            if self._state == SIZE:
                usual_end = self._take_usual(data, position, out)
                if usual_end > position:
                    position = usual_end
                    continue
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
                position = end
                break
            self._take_line(data[position:line_end])
            position = line_end + 2
            self._budget -= 1
        if self._state == DONE:
            self.done = True
            self.rest = data[position:]
        elif position < end:
            self._line = data[position:]
            self.has_more = True
        return [b"".join(out)] if len(out) > 1 and end < len(out) * _SMALL else out

    def _take_usual(self, data: bytes, position: int, out: list[bytes]) -> int:
        """Take what stands at `position`, if it is a whole chunk with nothing but its size, or
        several, or the end without trailers; where that ends. Each line on its own costs a call."""
        if data[position + 1 : position + 2] == b"\r":
            if not data.startswith(_LAST, position):
                return self._take_run(data, position, out)
            if self._budget > 1:
                self._state = DONE
                return position + len(_LAST)
        size = _BARE_SIZE.match(data, position)
        if size is None or self._budget < 2:
            return position
        begin = size.end()
        end = begin + int(size[1], 16)
        if end == begin or data[end : end + 2] != b"\r\n":
            return position
        self._budget -= 2
        out.append(data[begin:end])
        return end + 2

    def _take_run(self, data: bytes, position: int, out: list[bytes]) -> int:
        """Take the tiny chunks that stand at `position`; where they end."""
        run = _TINY_RUN.match(data, position)
        if run is None:
            return position
        end = run.end()
        content = [m[m.lastindex or 0] for m in _TINY.finditer(data, position, end)]
        self._budget -= 1 + len(content) // _TINY_COUNT
        out.append(b"".join(content))
        return end

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
        match = (_PADDED_LINE if self._padded else _SIZE_LINE).fullmatch(line)
        if match is None:
            raise ChunkedError("a chunk size that is not a hexadecimal number")
        digits = match[1]
        extension = length - len(digits)
        most = _MOST_PADDED if self._padded else _MOST_EXTENSION
        if extension > most or self._extensions + extension > _MOST_EXTENSIONS:
            raise ChunkedError("too many bytes of chunk extensions")
        return digits

    def _take_size(self, line: bytes) -> None:
        digits = self._check_size(line, len(line))
        self._left = int(digits, 16)
        extension = len(line) - len(digits)
        if extension:
            # As Go counts in answers: what is small beside its chunk is no abuse, however often.
            spared = 16 + 2 * self._left if self._padded else 0
            self._extensions = max(self._extensions + extension - spared, 0)
        self._state = DATA if self._left else TRAILER

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self._state = DONE
            return
        self._size += len(line)
        if self._size > _MOST_TRAILERS or len(self.trailers) >= _MOST_FIELDS:
            raise ChunkedError("too many trailers")
        if _TRAILER.fullmatch(line) is None:
            raise ChunkedError("a trailer that is no header field")
        name, _, value = line.partition(b":")
        self.trailers.append((name, value.strip(b" \t")))
