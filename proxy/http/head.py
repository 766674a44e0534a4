"""A request or response without its body, in a form that every codec can make and read.

Field lines are split in two while the head is read, so that they are walked only once:
`headers` holds, in order, those that are passed on as they are; `fields` holds by lower-case
name those that the gateway itself reads, removes or rewrites (`headers.SPECIAL`). A field that
came more than once is joined with ", " there (RFC 9110 §5.3), which also turns doubled
singletons (Host, Content-Length, traceparent) into values that do not parse.
"""

from __future__ import annotations

Pair = tuple[bytes, bytes]


class RequestHead:
    """What a client asked for. `path` is normalised; it alone is matched, forwarded and traced."""

    __slots__ = (
        "authority",
        "fields",
        "headers",
        "keep_alive",
        "length",
        "method",
        "path",
        "query",
        "target",
        "version",
    )

    def __init__(self) -> None:
        self.method = ""
        self.target = b""  # as received
        self.path = ""  # normalised, "*" for OPTIONS *
        self.query = ""  # without "?"
        self.authority = ""  # host[:port], lower case, from the target or Host
        self.version = "1.1"  # network.protocol.version: 1.0 1.1 2
        self.headers: list[Pair] = []
        self.fields: dict[bytes, bytes] = {}
        self.length: int | None = 0  # bytes of body; None = chunked or otherwise unknown
        self.keep_alive = True

    def get(self, name: bytes) -> bytes | None:
        """The field's value, looked for in both places; `name` in lower case."""
        return _find(self.fields, self.headers, name)


class ResponseHead:
    """What an upstream answered."""

    __slots__ = ("fields", "headers", "keep_alive", "length", "reason", "status", "version")

    def __init__(self) -> None:
        self.status = 0
        self.reason = b""
        self.version = "1.1"
        self.headers: list[Pair] = []
        self.fields: dict[bytes, bytes] = {}
        self.length: int | None = 0  # None = chunked or until the connection closes
        self.keep_alive = True

    def get(self, name: bytes) -> bytes | None:
        """The field's value, looked for in both places; `name` in lower case."""
        return _find(self.fields, self.headers, name)


def _find(fields: dict[bytes, bytes], headers: list[Pair], name: bytes) -> bytes | None:
    value = fields.get(name)
    if value is not None:
        return value
    found = [v for n, v in headers if n.lower() == name]
    return b", ".join(found) if found else None
