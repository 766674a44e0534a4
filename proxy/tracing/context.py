"""TraceContext: what a caller said about its trace, whatever format it said it in.

Ids are kept as lower-case hex bytes, the form in which they come and go in headers.
"""

from __future__ import annotations

FORMATS = ("w3c", "b3", "b3multi")  # what `format` counts


class TraceContext:
    """A caller's trace. `sampled` is None where the decision was left to us (B3 "defer")."""

    __slots__ = ("debug", "format", "random", "sampled", "span_id", "state", "trace_id")

    def __init__(
        self,
        trace_id: bytes,
        span_id: bytes,
        sampled: bool | None,
        *,
        debug: bool = False,
        random: bool = False,
        state: bytes = b"",
    ) -> None:
        self.trace_id = trace_id  # 32 hex digits; b"" only for a bare B3 decision ("b3: 0")
        self.span_id = span_id  # 16 hex digits of the caller's span; b"" if none
        self.sampled = sampled
        self.debug = debug  # B3 debug: accept, and tell the next one
        self.random = random  # W3C level 2 flag, passed on exactly as it came
        self.state = state  # tracestate, all headers joined; b"" if none or unusable
        self.format = 0  # in which of FORMATS it came: how it was said, not what

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TraceContext) and all(
            getattr(self, n) == getattr(other, n) for n in self.__slots__ if n != "format"
        )

    def __repr__(self) -> str:
        inside = ", ".join(f"{n}={getattr(self, n)!r}" for n in self.__slots__)
        return f"TraceContext({inside})"

    __hash__ = None  # type: ignore[assignment]
