"""The grammar of a `tracestate` (W3C Trace Context §3.3.1). The twin of `states.pyx`.

Owns whether a value is written as nearly all of them are; what becomes of it, and of the others,
is not decided here (`tracing/w3c.py`).
"""

from __future__ import annotations

import re

MAX_MEMBERS = 32  # §3.3.1.1: more make the whole tracestate invalid

_MEMBER = (
    rb"[a-z0-9][a-z0-9_\-*/@]{0,255}="
    rb"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_is_plain = re.compile(
    rb"%b(?:[ \t]*,[ \t]*%b){0,%d}" % (_MEMBER, _MEMBER, MAX_MEMBERS - 1)
).fullmatch


def plain_members(state: bytes) -> int:
    """How many members a value has that is valid and written plainly: white space around commas
    alone, no empty member, not too many. 0 = it is something else, valid or not."""
    return 0 if _is_plain(state) is None else state.count(b",") + 1


def mentions(state: bytes, word: bytes) -> bool:
    """Whether the word stands anywhere in it. `in` takes bytes for a number first, and `find` has
    its arguments parsed: 1,600 and 700 instructions (benchmarks/micro_tracing.py)."""
    return state.find(word) >= 0
