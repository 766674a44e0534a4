"""What a request brought of trace context, as one of few words: a result, in a format.

continued  its trace goes on here
untrusted  valid, from somebody who is not believed: a link at most
absent     none that is read here; the format is that of one which is not read, or of a bare
           decision without ids
invalid    a format that is read was meant, and what came is none
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from proxy.tracing.context import FORMATS, TraceContext

# The first are those of ordinary requests: nothing more is told of them than a count.
BROUGHT: tuple[tuple[str, str], ...] = (
    ("continued", "w3c"),
    ("absent", "none"),
    ("untrusted", "w3c"),
    ("continued", "b3"),
    ("continued", "b3multi"),
    ("untrusted", "b3"),
    ("untrusted", "b3multi"),
    ("absent", "w3c"),
    ("absent", "b3"),
    ("absent", "b3multi"),
    ("invalid", "w3c"),
    ("invalid", "b3"),
    ("invalid", "b3multi"),
)
NOTHING = 1
ORDINARY = 2  # up to here

RESULT, FORMAT = "spangate.trace_context.result", "spangate.trace_context.format"

_CODES = {pair: code for code, pair in enumerate(BROUGHT)}
# Which field says that a format was meant, in the order in which they are looked for.
_MEANT = ((b"traceparent", "w3c"), (b"b3", "b3"), (b"x-b3-traceid", "b3multi"))


def trusted_as(context: TraceContext) -> int:
    """The code of a context that is believed."""
    if not context.format and context.trace_id:
        return 0
    return _CODES["continued" if context.trace_id else "absent", FORMATS[context.format]]


def untrusted_as(context: TraceContext) -> int:
    """The code of a stranger's context."""
    return _CODES["untrusted" if context.trace_id else "absent", FORMATS[context.format]]


def unread(fields: Mapping[bytes, bytes], reads: Collection[str]) -> int:
    """The code of fields of which no context could be made, where these formats are read."""
    absent = NOTHING
    for name, meant in _MEANT:
        if name in fields:
            if meant in reads or (meant == "b3multi" and "b3" in reads):
                return _CODES["invalid", meant]
            absent = _CODES["absent", meant] if absent == NOTHING else absent
    return absent


def attributes(code: int) -> list[tuple[str, str]]:
    """What a span tells of it; [] if it is ordinary."""
    if code <= ORDINARY:
        return []
    result, form = BROUGHT[code]
    told = [(RESULT, result)] if result == "invalid" else []
    return told + ([(FORMAT, form)] if form != "w3c" else [])
