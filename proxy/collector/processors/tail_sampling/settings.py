"""Settings of the tail_sampling processor; names and defaults of the OpenTelemetry Collector's."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.collector.parts import Problems
from proxy.collector.tail.settings import Policy, check_policies
from proxy.config.section import Count, Positive, Section
from proxy.config.units import Seconds, Size


class DecisionCache(Section, frozen=True):
    """Decisions remembered for spans that come late; some 300 bytes each."""

    sampled_cache_size: Count = 0  # traces; 0 = as many as num_traces
    non_sampled_cache_size: Count = 0  # the same of traces that were dropped


class Settings(Section, frozen=True):
    """[collector.processors.tail_sampling]"""

    policies: list[Policy]
    decision_wait: Seconds = Seconds(30)  # after a trace's first span
    decision_wait_after_root_received: Seconds = Seconds(0)  # 0 = the root makes no difference
    num_traces: Positive = 50_000  # that wait at once
    memory_limit: Size = Size(256 * 1024 * 1024)  # for what waits; 0 = no limit
    maximum_trace_size_bytes: Size = Size(0)  # larger ones are not sampled; 0 = no limit
    expected_new_traces_per_sec: Count = 0  # taken for compatibility; nothing is allocated ahead
    decision_cache: DecisionCache = field(default_factory=DecisionCache)
    sample_on_first_match: bool = False  # policies behind the first match are not asked
    block_on_overflow: bool = False  # refuse what finds no room, and decide nothing early
    drop_pending_traces_on_shutdown: bool = False  # true = no decision without all spans
    record_policy: bool = True  # as `tailsampling.policy` on the scope
    sampling_strategy: Literal["trace-complete"] = "trace-complete"  # when a trace is decided on

    def problems(self) -> Problems:
        if not self.policies:
            yield ("policies",), "there are no policies, so nothing would be kept", "name one"
        if not self.decision_wait:
            yield ("decision_wait",), "a trace cannot wait for ever", 'write "30s"'
        yield from check_policies("policies", self.policies)
