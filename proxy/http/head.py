"""A request or response without its body, in a form that every codec can make and read.

Outside this package a head is read by name (`get`, `fields`), iterated, and never changed: what
is different in the head that leaves is collected beside it (`edits.py`) and applied when it is
written. So its representation may change below that: a list of pairs as here, or the bytes that
came and the offsets in them.

Field lines are split in two while the head is read, so that they are walked only once:
`pairs` holds, in order, those that are passed on as they are; `fields` holds by lower-case
name those that the gateway itself reads, removes or rewrites (`headers.SPECIAL`). A field that
came more than once is joined with ", " there (RFC 9110 §5.3), which also turns doubled
singletons (Host, Content-Length, traceparent) into values that do not parse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from proxy.kernel.scan import Head, Lines

Pair = tuple[bytes, bytes]
Trailers = tuple[Pair, ...]

ANYTHING = -1  # of `seen`: nobody has looked; every bit is set


class RequestHead(Head):
    """What a client asked for. `path` is normalised; it alone is matched, forwarded and traced."""

    __slots__ = (
        "_pairs",
        "_target",
        "authority",
        "is_h2",
        "keep_alive",
        "length",
        "listener",
        "method",
        "never_indexed",
        "path",
        "protocol",
        "query",
        "scheme",
        "seen",
        "tail",
        "version",
    )

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Set all of a new one; alone it is cheaper than by __init__ (make bench-check)."""
        self.method = ""
        self._target = b""
        self.path = ""  # normalised, "*" for OPTIONS *
        self.query = ""  # without "?"
        self.tail = ""  # with it: "" = there is no query, "?" = there is an empty one
        self.authority = ""  # host[:port], lower case, from the target or Host
        self.scheme = "http"  # of the client's connection, as far as it is known
        self.version = "1.1"  # network.protocol.version: 1.0 1.1 2
        self.is_h2 = False  # for codecs alone: HTTP/2's engine has checked the lines in `_pairs`
        self.lines = None  # the same: None = they are in `_pairs`
        self._pairs: list[Pair] = []
        self.hold({})  # outside this package: to be read, not changed
        self.seen = ANYTHING  # the `headers.bits` of the names in `fields`
        self.length: int | None = 0  # bytes of body; None = chunked or otherwise unknown
        self.keep_alive = True
        self.listener = ""  # the name of that by which it came in, where routes ask for it
        self.protocol = ""  # what it asks to switch to: "websocket", or several in a list
        self.never_indexed: frozenset[bytes] | None = None  # names of lines, RFC 7541 §7.1.3

    @property
    def target(self) -> bytes:
        """The target as it was received; a usual one is path and query as they are."""
        return self._target or (self.path + self.tail).encode("ascii")

    @target.setter
    def target(self, came: bytes) -> None:
        self._target = came

    @property
    def pairs(self) -> list[Pair]:
        """The lines that are passed on as they came, in order; from now on the list holds them."""
        if self.lines is not None:
            self._pairs = self.unscanned()
        return self._pairs

    def get(self, name: bytes) -> bytes | None:
        """The field's value, looked for in both places; `name` in lower case."""
        value = self.field(name)
        if value is not None:
            return value
        return _joined(self._pairs if self.lines is None else self.lines, name)

    def each(self, name: bytes) -> list[bytes]:
        """The field's values line by line, those that the gateway itself reads as one.

        Names with an underscore count as those with a dash, which many servers take them for.
        """
        alike = name.replace(b"_", b"-")
        found = [v.strip() for n, v in self if n.lower().replace(b"_", b"-") == alike]
        value = self.field(name)
        return found if value is None else [value, *found]

    def __iter__(self) -> Iterator[Pair]:
        """The fields that are passed on as they came, in order."""
        return iter(self._pairs if self.lines is None else self.lines.pairs())

    def receive(self, name: bytes, value: bytes) -> None:
        """A field line of a head that no codec has read; `name` in lower case."""
        self.pairs.append((name, value))

    def remove(self, names: Collection[bytes]) -> None:
        """Take the lines of those fields away that are passed on; `names` in lower case."""
        if self.lines is not None:
            self.lines.remove(names)
        else:
            self._pairs = [pair for pair in self._pairs if pair[0].lower() not in names]

    def drop_underscores(self) -> None:
        """Take the fields away whose names have an underscore."""
        if self.lines is not None:
            self.lines.drop_underscores()
        else:
            self._pairs = [pair for pair in self._pairs if b"_" not in pair[0]]


class ResponseHead(Head):
    """What an upstream answered, or the gateway itself."""

    __slots__ = (
        "_pairs",
        "dated",
        "is_h2",
        "keep_alive",
        "length",
        "never_indexed",
        "reason",
        "seen",
        "status",
        "version",
    )

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """As that of a RequestHead."""
        self.status = 0
        self.reason = b""
        self.version = "1.1"
        self.is_h2 = False  # as in RequestHead
        self.lines = None
        self._pairs: list[Pair] = []
        self.hold({})
        self.seen = ANYTHING
        self.dated = False  # it has a Date
        self.length: int | None = 0  # None = chunked or until the connection closes
        self.keep_alive = True
        self.never_indexed: frozenset[bytes] | None = None  # as in RequestHead

    @property
    def pairs(self) -> list[Pair]:
        """The lines that are passed on as they came, in order; from now on the list holds them."""
        if self.lines is not None:
            self._pairs = self.unscanned()
        return self._pairs

    def get(self, name: bytes) -> bytes | None:
        """The field's value, looked for in both places; `name` in lower case."""
        value = self.field(name)
        if value is not None:
            return value
        return _joined(self._pairs if self.lines is None else self.lines, name)

    def __iter__(self) -> Iterator[Pair]:
        """The fields that are passed on as they came, in order."""
        return iter(self._pairs if self.lines is None else self.lines.pairs())

    def remove(self, names: Collection[bytes]) -> None:
        """Take the lines of those fields away that are passed on; `names` in lower case."""
        if self.lines is not None:
            self.lines.remove(names)
        else:
            self._pairs = [pair for pair in self._pairs if pair[0].lower() not in names]

    def drop(self, name: bytes) -> None:
        """Take the lines of that field away; `name` in lower case."""
        self.remove((name,))


def scanned_request(lines: Lines) -> RequestHead:
    """The head that was scanned; its target may not be understood yet (`target.py`)."""
    head = RequestHead.__new__(RequestHead)
    head.method = lines.method
    head.path = lines.path
    if not head.path:
        head._target = lines.target
    head.query = lines.query
    head.tail = lines.tail
    head.authority = ""
    head.is_h2 = False
    head.version = lines.version
    head.lines = lines
    head.seen = lines.seen
    head.length = 0
    head.keep_alive = True
    head.protocol = ""
    return head


def scanned_response(lines: Lines) -> ResponseHead:
    """The head that was scanned."""
    head = ResponseHead.__new__(ResponseHead)
    head.status = lines.status
    head.reason = lines.reason
    head.is_h2 = False
    head.version = lines.version
    head.lines = lines
    head.seen = lines.seen
    head.dated = lines.dated
    head.length = 0
    head.keep_alive = True
    return head


def made_response(
    status: int, pairs: list[Pair], length: int, declared: bytes = b""
) -> ResponseHead:
    """The head of an answer of the gateway's own. `declared` is the Content-Length that it has
    where no body follows (HEAD)."""
    head = ResponseHead()
    head.status = status
    head._pairs = pairs
    head.length = length
    if declared:
        head.hold({b"content-length": declared})
    return head


def _joined(lines: list[Pair] | Lines, name: bytes) -> bytes | None:
    if isinstance(lines, Lines):
        found = lines.each(name)
    else:
        size = len(name)
        found = []
        for n, value in lines:
            if len(n) == size and (n == name or n.lower() == name):
                found.append(value.strip())  # llhttp leaves whitespace at the end (RFC 9112 §5.1)
    return b", ".join(found) if found else None
