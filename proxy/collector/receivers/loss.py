"""Loss: spans that a receiver leaves out because their ids are none; counted, and told.

One for each protocol of a receiver. Which ids are none is said in `proxy.otlp.ids`.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.collector.context import Context
from proxy.otlp import ids
from proxy.otlp.partial import Rejected
from proxy.otlp.refusal import Reason, Refusal

_NO_IDS = Reason(400, 3, "nothing in this request can be taken")


class Loss:
    """Counts by reason: which of a span's two ids was none."""

    __slots__ = ("_condition", "_counters")

    def __init__(self, context: Context, **attributes: str) -> None:
        self._condition = context.condition
        self._counters = {
            reason: context.counters.counter(
                "spangate.receiver.spans.nameless",
                "Spans that were left out because one of their ids is none.",
                reason=reason,
                **attributes,
            )
            for reason in (ids.TRACE, ids.SPAN)
        }

    def count(self, lost: Mapping[str, int]) -> None:
        if not lost:
            return
        for reason, amount in lost.items():
            self._counters[reason].add(amount)
        self._condition.warn(f"left out: {ids.told(lost)}")

    def told(self, taken: int, lost: Mapping[str, int]) -> Rejected:
        """The same for a sender who hears it; raises Refusal if nothing was left to take."""
        self.count(lost)
        text = f"{ids.told(lost)} (a trace_id has 16 bytes, a span_id 8, not all of them zero)"
        if not taken:
            raise Refusal(_NO_IDS, text)
        return Rejected(sum(lost.values()), text)
