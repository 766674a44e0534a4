"""Which traces are recorded: a Sampler decides, once per request, from the trace id alone.

Consistent probability sampling (OpenTelemetry, trace/tracestate-probability-sampling.md): the
randomness R of a trace, 56 bits, is compared with a threshold T = (1 - ratio) * 2**56, and the
trace is recorded iff R >= T. Everyone who does the same agrees, and a lower ratio's traces are a
part of a higher ratio's. T and R travel in the tracestate member `ot` as `th` and `rv`.

Both are kept as 14 lower-case hex digits, which compare as bytes in the order of the numbers.
"""

from __future__ import annotations

from typing import Literal

from proxy.kernel.hexes import reaches
from proxy.kernel.states import mentions
from proxy.tracing import w3c
from proxy.tracing.context import TraceContext

Kind = Literal["parent", "ratio", "always", "never"]

PRECISION = 4  # hex digits of a threshold that count (the specification's default)

MAX_OT = 256  # bytes of an `ot` value (trace/tracestate-handling.md)

_DIGITS = 14  # 56 bits
_HEX = b"0123456789abcdef"
_ALWAYS = b""  # below every R
_NEVER = b"g"  # above every R


def threshold(ratio: float, precision: int = PRECISION) -> bytes:
    """T for a ratio from 0 to 1, without its trailing zeros: 0.25 -> b"c", 1 -> b"0".

    Rounded to `precision` hex digits; leading `f` (or `0`) do not count, so that small ratios
    (or their complements) keep theirs. b"" = nothing is sampled: the ratio is below 2**-56.
    """
    rejected = 2**56 - round(ratio * 2**56)
    if rejected >= 2**56:
        return b""
    digits = b"%014x" % rejected
    leading = _DIGITS - len(digits.lstrip(digits[:1])) if digits[0] in b"0f" else 0
    shift = 4 * max(0, _DIGITS - leading - precision)
    rounded = ((rejected >> shift) + (rejected >> (shift - 1) & 1)) << shift if shift else rejected
    return (b"%014x" % rounded).rstrip(b"0") or b"0"


def randomness(state: bytes, trace_id: bytes) -> bytes:
    """R as 14 hex digits: `rv` of tracestate if it is valid, else the trace id's low 56 bits."""
    if mentions(state, b"rv:"):
        for entry in w3c.member(state, b"ot").split(b";"):
            if entry[:3] == b"rv:" and len(entry) == 17 and not entry[3:].translate(None, _HEX):
                return entry[3:]
    return trace_id[-_DIGITS:]


class Sampler:
    """A decision about each trace.

    parent: the trusted caller's decision is obeyed; where there is none, as ratio.
    ratio, always, never: decided here, whatever the caller says. A debug context is always
    recorded.
    """

    __slots__ = ("_bound", "_root", "_th", "obeys")

    def __init__(self, kind: Kind, ratio: float) -> None:
        if not 0.0 <= ratio <= 1.0:
            raise ValueError(f"ratio {ratio!r} is not from 0 to 1")
        share = {"always": 1.0, "never": 0.0}.get(kind, ratio)
        self.obeys = kind == "parent"
        self._th = threshold(share)
        self._bound = {b"": _NEVER, b"0": _ALWAYS}.get(self._th, self._th.ljust(_DIGITS, b"0"))
        # A context that says nothing but our threshold, shared by all traces that start here.
        # At 100 % there is nothing to say: a missing `th` and every span counting once agree.
        self._root: TraceContext | None = None
        if self._bound not in (_ALWAYS, _NEVER):
            self._root = TraceContext(b"", b"", None, state=b"ot=th:" + self._th)

    def decide(self, context: TraceContext | None, trace_id: bytes) -> bool:
        """Whether the trace is recorded; `context` is a trusted caller's, or None."""
        if context is not None:
            if context.debug:
                return True
            if self.obeys and context.sampled is not None:
                return context.sampled
            if context.state:
                return randomness(context.state, trace_id) >= self._bound
        return reaches(trace_id, self._bound)

    def root_state(self) -> bytes:
        """The tracestate of a sampled trace that starts here; b"" at 0 and 100 %."""
        return b"" if self._root is None else self._root.state

    def carry(
        self, context: TraceContext | None, trace_id: bytes, sampled: bool
    ) -> TraceContext | None:
        """What to pass on after `decide` said `sampled`: the context with the right `ot` member.

        Changes `context` in place. Without one, a sampled trace gets a context that has no ids
        but our threshold, so that whoever counts spans knows what each stands for.
        """
        if context is None:
            return self._root if sampled else None
        if context.debug or (self.obeys and context.sampled is not None):
            if context.state and not _agrees(context.state, trace_id, sampled):
                context.state = with_threshold(context.state, b"")
        elif self._th != b"0" or mentions(context.state, b"th:"):
            context.state = with_threshold(context.state, self._th if sampled else b"")
        return context


def with_threshold(state: bytes, th: bytes) -> bytes:
    """`state` with `th` in its `ot` member, at the left; b"" removes it. Other sub-keys stay."""
    old = w3c.member(state, b"ot")
    kept = [entry for entry in old.split(b";") if entry and not entry.startswith(b"th:")]
    if th:
        kept.insert(0, b"th:" + th)
    new = b";".join(kept)
    if len(new) > MAX_OT:
        new = b";".join(entry for entry in kept if entry[:3] in (b"th:", b"rv:"))
    return state if new == old else w3c.put_first(state, b"ot", new)


def _agrees(state: bytes, trace_id: bytes, sampled: bool) -> bool:
    """Whether a caller's `th`, if any, leads to its own sampled flag; if not, `th` must go."""
    if not mentions(state, b"th:"):
        return True
    for entry in w3c.member(state, b"ot").split(b";"):
        if entry.startswith(b"th:"):
            th = entry[3:]
            valid = 0 < len(th) <= _DIGITS and not th.translate(None, _HEX)
            above = randomness(state, trace_id) >= th.ljust(_DIGITS, b"0")
            return valid and sampled and above
    return True
