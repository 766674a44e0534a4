"""Tally: what tail sampling counts of itself, named as the OpenTelemetry Collector's processor."""

from __future__ import annotations

from proxy.collector.counters import UNTIMED, Counter, Counters
from proxy.collector.tail.waiting import Waiting

_NAME = "otelcol_processor_tail_sampling_"


class Tally:
    """`decided` and `late` by whether the trace is kept."""

    __slots__ = ("decided", "early", "late", "new", "too_large", "untimed")

    def __init__(self, counters: Counters, waiting: Waiting) -> None:
        def count(name: str, text: str, **attributes: str) -> Counter:
            return counters.counter(_NAME + name, text, **attributes)

        self.new = count("new_trace_id_received", "Traces whose first span came.")
        self.early = count(
            "sampling_trace_dropped_too_early", "Traces decided on early, for want of room."
        )
        self.too_large = count("traces_dropped_too_large", "Traces above their size limit.")
        self.untimed = counters.counter(*UNTIMED)
        self.decided = tuple(
            count("global_count_traces_sampled", "Decisions.", sampled=_word(sampled))
            for sampled in (False, True)
        )
        self.late = tuple(
            count("late_spans", "Spans that came after the decision.", sampled=_word(sampled))
            for sampled in (False, True)
        )
        counters.gauge(
            _NAME + "sampling_traces_on_memory", "Traces that wait.", lambda: len(waiting)
        )
        counters.gauge(_NAME + "memory", "Bytes of spans that wait.", lambda: waiting.memory, "By")


def by_policy(counters: Counters, names: list[str]) -> list[tuple[Counter, Counter]]:
    """For each policy: how often it said (yes, no)."""
    name, text = _NAME + "count_traces_sampled", "What each policy said."
    return [
        (
            counters.counter(name, text, policy=policy, sampled="true"),
            counters.counter(name, text, policy=policy, sampled="false"),
        )
        for policy in names
    ]


def _word(sampled: bool) -> str:
    return "true" if sampled else "false"
