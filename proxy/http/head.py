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

from collections.abc import Iterator

Pair = tuple[bytes, bytes]
Trailers = tuple[Pair, ...]


class RequestHead:
    """What a client asked for. `path` is normalised; it alone is matched, forwarded and traced."""

    __slots__ = (
        "authority",
        "fields",
        "keep_alive",
        "length",
        "method",
        "pairs",
        "path",
        "query",
        "tail",
        "target",
        "version",
    )

    def __init__(self) -> None:
        self.method = ""
        self.target = b""  # as received
        self.path = ""  # normalised, "*" for OPTIONS *
        self.query = ""  # without "?"
        self.tail = ""  # with it: "" = there is no query, "?" = there is an empty one
        self.authority = ""  # host[:port], lower case, from the target or Host
        self.version = "1.1"  # network.protocol.version: 1.0 1.1 2
        self.pairs: list[Pair] = []  # for codecs alone
        self.fields: dict[bytes, bytes] = {}  # outside this package: to be read, not changed
        self.length: int | None = 0  # bytes of body; None = chunked or otherwise unknown
        self.keep_alive = True

    def get(self, name: bytes) -> bytes | None:
        """The field's value, looked for in both places; `name` in lower case."""
        return _find(self.fields, self.pairs, name)

    def lines(self, name: bytes) -> list[bytes]:
        """The field's values line by line, those that the gateway itself reads as one.

        Names with an underscore count as those with a dash, which many servers take them for.
        """
        alike = name.replace(b"_", b"-")
        found = [v.strip() for n, v in self.pairs if n.lower().replace(b"_", b"-") == alike]
        value = self.fields.get(name)
        return found if value is None else [value, *found]

    def __iter__(self) -> Iterator[Pair]:
        """The fields that are passed on as they came, in order."""
        return iter(self.pairs)

    def receive(self, name: bytes, value: bytes) -> None:
        """A field line of a head that no codec has read; `name` in lower case."""
        self.pairs.append((name, value))

    def drop_underscores(self) -> None:
        """Take the fields away whose names have an underscore."""
        self.pairs = [pair for pair in self.pairs if b"_" not in pair[0]]


class ResponseHead:
    """What an upstream answered, or the gateway itself."""

    __slots__ = ("dated", "fields", "keep_alive", "length", "pairs", "reason", "status", "version")

    def __init__(self) -> None:
        self.status = 0
        self.reason = b""
        self.version = "1.1"
        self.pairs: list[Pair] = []  # for codecs alone
        self.fields: dict[bytes, bytes] = {}
        self.dated = False  # it has a Date
        self.length: int | None = 0  # None = chunked or until the connection closes
        self.keep_alive = True

    def get(self, name: bytes) -> bytes | None:
        """The field's value, looked for in both places; `name` in lower case."""
        return _find(self.fields, self.pairs, name)

    def __iter__(self) -> Iterator[Pair]:
        """The fields that are passed on as they came, in order."""
        return iter(self.pairs)

    def drop(self, name: bytes) -> None:
        """Take the lines of that field away; `name` in lower case."""
        self.pairs = [pair for pair in self.pairs if pair[0].lower() != name]


def made_response(
    status: int, pairs: list[Pair], length: int, declared: bytes = b""
) -> ResponseHead:
    """The head of an answer of the gateway's own. `declared` is the Content-Length that it has
    where no body follows (HEAD)."""
    head = ResponseHead()
    head.status = status
    head.pairs = pairs
    head.length = length
    if declared:
        head.fields = {b"content-length": declared}
    return head


def _find(fields: dict[bytes, bytes], pairs: list[Pair], name: bytes) -> bytes | None:
    value = fields.get(name)
    if value is not None:
        return value
    # llhttp leaves whitespace at the end (RFC 9112 §5.1)
    found = [v.strip() for n, v in pairs if n.lower() == name]
    return b", ".join(found) if found else None
