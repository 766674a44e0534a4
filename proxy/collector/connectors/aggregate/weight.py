"""Weight: how many spans one span stands for, told by `th` in its tracestate.

Adjusted count = 2**56 / (2**56 - T) (trace/tracestate-probability-sampling.md), so that numbers
made from a tenth of all traces are those of all of them.
"""

from __future__ import annotations

from proxy.tracing.w3c import member

_SPACE = 1 << 56
_HEX = frozenset(b"0123456789abcdef")
_REMEMBERED = 1024  # a gateway has a handful of thresholds; `rv` makes each state another one


class Weights:
    """`of` a tracestate; the last answers are remembered."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, float] = {"": 1.0}

    def of(self, state: str) -> float:
        """1 or more; 1 where there is no valid `th`."""
        known = self._known.get(state)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known = {"": 1.0}
            known = self._known[state] = adjusted_count(state)
        return known


def adjusted_count(state: str) -> float:
    for entry in member(state.encode(), b"ot").split(b";"):
        if entry.startswith(b"th:"):
            digits = entry[3:]
            if 0 < len(digits) <= 14 and _HEX.issuperset(digits):
                return _SPACE / (_SPACE - int(digits.ljust(14, b"0"), 16))
    return 1.0
