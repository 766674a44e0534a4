"""Unwanted: signals that the other side does not take, which it is asked for again only seldom.

Pure: `now` is an argument. A back end for traces alone answers metrics and logs with "not found"
or "unimplemented" for as long as it lives, so that sending them is in vain. A gateway in front of
one that is just being replaced says the same for a moment: the first pauses are short, and what
they cost is about as much as the moment itself did.
"""

from __future__ import annotations

from collections.abc import Iterable

from proxy.collector.batch import SIGNALS
from proxy.otlp.status import Outcome, Verdict

REASON = "unwanted"  # in the books
FIRST = 5.0  # seconds of the first pause; each is twice as long as the one before
LONGEST = 600.0

# What says that there is nobody for such requests, and not that one request was wrong.
_ANSWERS = frozenset(("http_404", "http_405", "http_501", "grpc_unimplemented"))


class Unwanted:
    """By signal, until when nothing is sent and how long that pause is, in seconds."""

    __slots__ = ("_pauses",)

    def __init__(self) -> None:
        self._pauses: dict[str, tuple[float, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._pauses)

    def __contains__(self, signal: str) -> bool:
        return signal in self._pauses

    def is_closed(self, signal: str, now: float) -> bool:
        """Whether nothing of it is to be sent now."""
        return signal in self._pauses and now < self._pauses[signal][0]

    def is_let_through(self, signal: str, now: float) -> bool:
        """Whether a batch may be sent now; after a pause that is one, and the next has begun."""
        if signal not in self._pauses:
            return True
        until, pause = self._pauses[signal]
        if now < until:
            return False
        self._pauses[signal] = (now + pause, pause)
        return True

    def judge(self, signal: str, outcome: Outcome, now: float) -> bool:
        """Learn from an answer; True if the signal is not wanted."""
        if outcome.verdict is Verdict.PERMANENT and outcome.reason in _ANSWERS:
            before = self._pauses.get(signal, (0.0, FIRST / 2))[1]
            pause = min(2 * before, LONGEST)
            self._pauses[signal] = (now + pause, pause)
            return True
        if outcome.verdict is not Verdict.RETRY:
            self._pauses.pop(signal, None)
        return False


def remedy(exporter: str, signal: str, others: Iterable[str]) -> str:
    """What to do about it; `others` are the signals that the exporter has besides."""
    left = [name for name in SIGNALS if name in set(others)]
    if not left:
        return "check its URL"
    names = ", ".join(f'"{name}"' for name in left)
    if "://" in exporter:  # of the short form
        told = f"say `signals = [{names}]` in [export]"
    else:
        told = f'take "{exporter}" out of the exporters of the pipelines of {signal}'
    return f"if it is for {' and '.join(left)} alone, {told}; if not, check its URL"
