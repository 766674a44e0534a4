"""Cursor: JSON text read from its beginning to its end, a piece in C at a time.

The parser of the standard library does what fits into a window; what is larger is opened, and its
members are read one by one. So no step takes long, whatever the text is, and nobody has to hold
all of it as Python objects. Knows no schema.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Generator, Iterator
from typing import Any

from proxy.otlp.turns import finished
from proxy.otlp.wire import WireError

WINDOW = 32 * 1024  # bytes that are parsed at once: at worst 2 ms
LONGEST = 4 * 1024 * 1024  # bytes of a text that is larger than a window
# Members of what is large, and objects: what says something takes more bytes than that.
FREE, LEAST = 16_384, 12
_PIECE = 1024 * 1024
_DEPTH = 100

_BLANK = re.compile(r"[ \t\n\r]*")
_INSIDE = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
_scan_once: Any = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


class NotUtf8(WireError):
    """JSON is (RFC 8259 §8.1); `as_utf8` makes it so."""


class Large:
    """In the place of a value that does not fit into a window; the cursor stands before it."""


LARGE = Large()


def as_utf8(text: bytes) -> Generator[None, None, bytes]:
    """The same with U+FFFD for what is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    made: list[bytes] = []
    for start in range(0, len(text), _PIECE):
        made.append(decoder.decode(text[start : start + _PIECE]).encode())
        yield
    return b"".join((*made, decoder.decode(b"", final=True).encode()))


class Cursor:
    """Every method raises WireError for what is not JSON."""

    __slots__ = ("_at", "_begin", "_data", "_end", "_seen", "_text")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._begin = self._end = 0  # of the window, in bytes
        self._text = ""
        self._at = 0  # in the window, in characters
        self._seen = 0  # values

    def weigh(self) -> Iterator[None]:
        """Before all: refuse what is little but structure; yields where others may run."""
        objects = 0
        for start in range(0, len(self._data), _PIECE):
            objects += self._data.count(b"{", start, start + _PIECE)
            if objects > FREE + (start + _PIECE) // LEAST:
                raise WireError("too many objects for so few bytes")
            yield

    def value(self) -> Any:
        """The next value, or LARGE."""
        if self._at > len(self._text) // 2:
            self._move()
        first = self._peek()
        self._count()
        found = self._parse()
        if found is LARGE and self._at:
            self._move()
            found = self._parse()
        if found is LARGE and (self._end >= len(self._data) or first not in '{["'):
            raise WireError(f"not JSON: no value at byte {self._place()}")
        return found

    def open(self) -> str:
        """Step into a value that is large: "{" or "[", or a quotation mark before its text."""
        opened = self._peek()
        self._at += 1
        return opened

    def more(self, is_first: bool, close: str) -> bool:
        """Whether another member follows in an array or object; steps over what divides them."""
        found = self._peek()
        if found == close:
            self._at += 1
            return False
        if not is_first:
            if found != ",":
                raise WireError(f"not JSON: a comma is missing at byte {self._place()}")
            self._at += 1
        return True

    def key(self) -> str:
        """The name of a member."""
        name = self.value()
        if not isinstance(name, str) or self._peek() != ":":
            raise WireError(f"not JSON: a name is wanted at byte {self._place()}")
        self._at += 1
        return name

    def text(self) -> Generator[None, None, str]:
        """The rest of a large text that was opened."""
        start = stop = self._place()
        while self._data[stop : stop + 1] != b'"':
            yield
            inside = _INSIDE.match(self._data, stop, stop + 2 * WINDOW)
            after = inside.end() if inside is not None else stop
            if after > stop and after - start <= LONGEST:
                stop = after
                continue
            raise WireError(f"a text is cut off, or has more than {LONGEST} bytes")
        try:
            found: str = json.loads(self._data[start - 1 : stop + 1])
        except UnicodeDecodeError as error:
            raise NotUtf8(f"not UTF-8: {error}") from None
        except ValueError as error:
            raise WireError(f"not JSON: {error}") from None
        self._go(stop + 1)
        return found

    def end(self) -> None:
        """Nothing may follow."""
        self._move()
        if _BLANK.fullmatch(self._text, self._at) is None or self._end < len(self._data):
            raise WireError(f"not JSON: something follows at byte {self._place()}")

    def elements(self) -> Iterator[Any]:
        """The members of a text that is an array, each of any size; LARGE never comes."""
        if self.open() != "[":
            raise WireError("not JSON: an array is wanted")
        seen = 0
        while self.more(not seen, "]"):
            seen += 1
            yield self._whole(0)
        self.end()

    def _whole(self, depth: int) -> Any:
        """The next value, of any size."""
        found = self.value()
        if found is not LARGE:
            return found
        if depth > _DEPTH:
            raise WireError("nested too deeply")
        opened = self.open()
        if opened == '"':
            return finished(self.text())
        made: dict[str, Any] = {}
        values: list[Any] = []
        is_first, close = True, "}" if opened == "{" else "]"
        while self.more(is_first, close):
            is_first = False
            if close == "]":
                values.append(self._whole(depth + 1))
            else:
                name = self.key()
                made[name] = self._whole(depth + 1)
        return values if close == "]" else made

    def skip(self, depth: int = 0) -> Iterator[None]:
        """Pass over a value that is large; yields where others may run."""
        if depth > _DEPTH:
            raise WireError("nested too deeply")
        opened = self.open()
        if opened == '"':
            yield from self.text()
            return
        close = "}" if opened == "{" else "]"
        is_first = True
        while self.more(is_first, close):
            is_first = False
            if close == "}":
                self.key()
            if self.value() is LARGE:
                yield from self.skip(depth + 1)
            yield

    def _parse(self) -> Any:
        try:
            found, end = _scan_once(self._text, self._at)
        except RecursionError:
            raise WireError("nested too deeply") from None
        except (StopIteration, ValueError):
            return LARGE
        if end == len(self._text) and self._end < len(self._data):
            return LARGE  # a number may go on behind the window
        self._at = end
        return found

    def _peek(self) -> str:
        """The next character that is not blank; the cursor stands before it."""
        for _ in range(2):
            match = _BLANK.match(self._text, self._at)
            self._at = match.end() if match is not None else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            self._move()
        raise WireError(f"not JSON: cut off, or all blank, at byte {self._place()}")

    def _count(self) -> None:
        self._seen += 1
        if self._seen > FREE + self._begin // LEAST:
            raise WireError("too many values for so few bytes")

    def _place(self) -> int:
        """Where the cursor is, in bytes."""
        if len(self._text) == self._end - self._begin:
            return self._begin + self._at
        return self._begin + len(self._text[: self._at].encode())

    def _move(self) -> None:
        """The window begins at the cursor."""
        if self._end < len(self._data) or self._begin == self._end:
            self._go(self._place())

    def _go(self, place: int) -> None:
        piece = self._data[place : place + WINDOW]
        is_last = place + WINDOW >= len(self._data)
        try:
            self._text, size = codecs.utf_8_decode(piece, "strict", is_last)
        except UnicodeDecodeError as error:
            raise NotUtf8(f"not UTF-8: {error.reason} at byte {place + error.start}") from None
        self._begin, self._at = place, 0
        self._end = place + size
