"""From settings to policies: one row for each type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.collector.expression.compile import compile_condition
from proxy.collector.ottl.spans import span_condition
from proxy.collector.tail import facts
from proxy.collector.tail.chance import Consistent, Salted
from proxy.collector.tail.combine import And, Composite, Not, drop
from proxy.collector.tail.judge import Judge, Witness
from proxy.collector.tail.rates import BytesLimiting, RateLimiting
from proxy.collector.tail.routes import PerRouteMinimum, RouteLatency
from proxy.collector.tail.settings import Policy as Table
from proxy.collector.tail.settings import table_of
from proxy.collector.tail.verdict import CERTAIN, Policy


def build(tables: list[Table], on_first_match: bool) -> tuple[Judge, list[str]]:
    """The judge, and the names of its policies in its order.

    Those that drop come first, so that a first match cannot hide them.
    """
    builder = _Builder()
    ordered = sorted(tables, key=lambda table: table.type != "drop")
    policies = [builder.make(table) for table in ordered]
    return (
        Judge(policies, builder.witnesses, on_first_match, weighs=builder.weighs),
        [table.name for table in ordered],
    )


class _Builder:
    __slots__ = ("weighs", "witnesses")

    def __init__(self) -> None:
        self.witnesses: list[Witness] = []
        self.weighs = True  # whether a trace's probability can be told

    def make(self, table: Table) -> Policy:
        return _MAKERS[table.type](self, table_of(table))

    def all(self, tables: list[Table]) -> list[Policy]:
        return [self.make(table) for table in tables]

    def drop(self, t: Any) -> Policy:
        made = drop(self.all(t.drop_sub_policy))
        self.weighs = self.weighs and made.threshold == CERTAIN
        return made

    def composite(self, t: Any) -> Policy:
        tables = {table.name: table for table in t.composite_sub_policy}
        order = t.policy_order or list(tables)
        percent = {share.policy: share.percent for share in t.rate_allocation if share.percent}
        others = [name for name in order if name not in percent]
        rest = (100 - sum(percent.values())) / len(others) if others else 0.0
        total = t.max_total_spans_per_second
        subs = [
            (self.make(tables[name]), int(total * percent.get(name, rest) / 100)) for name in order
        ]
        return Composite(subs, total)

    def per_route_minimum(self, t: Any) -> Policy:
        made = PerRouteMinimum(t.traces_per_minute, t.max_routes)
        self.witnesses.append(made)
        return made


def _probabilistic(t: Any) -> Policy:
    ratio = t.sampling_percentage / 100
    return Salted(ratio, t.hash_salt) if t.hash_salt else Consistent(ratio)


def _string(t: Any) -> Policy:
    regex = t.enabled_regex_matching
    test = facts.Patterns(t.values, t.cache_max_size) if regex else facts.one_of(t.values)
    return facts.Attribute(t.key, test, t.invert_match)


_MAKERS: dict[str, Callable[[_Builder, Any], Policy]] = {
    "always_sample": lambda b, t: facts.always(),
    "latency": lambda b, t: facts.latency(t.threshold_ms, t.upper_threshold_ms),
    "numeric_attribute": lambda b, t: facts.Attribute(
        t.key, facts.number(t.min_value, t.max_value), t.invert_match
    ),
    "probabilistic": lambda b, t: _probabilistic(t),
    "status_code": lambda b, t: facts.status(t.status_codes),
    "string_attribute": lambda b, t: _string(t),
    "trace_state": lambda b, t: facts.state(t.key, t.values),
    "trace_flags": lambda b, t: facts.flagged(),
    "rate_limiting": lambda b, t: RateLimiting(t.spans_per_second),
    "bytes_limiting": lambda b, t: BytesLimiting(t.bytes_per_second, t.burst_capacity),
    "span_count": lambda b, t: facts.span_count(t.min_spans, t.max_spans),
    "boolean_attribute": lambda b, t: facts.Attribute(
        t.key, facts.boolean(t.value), t.invert_match
    ),
    "ottl_condition": lambda b, t: facts.condition([span_condition(text) for text in t.span]),
    "condition": lambda b, t: facts.condition([compile_condition(x, "span") for x in t.span]),
    "and": lambda b, t: And(b.all(t.and_sub_policy)),
    "not": lambda b, t: Not(b.make(t.not_sub_policy)),
    "drop": _Builder.drop,
    "composite": _Builder.composite,
    "route_latency": lambda b, t: RouteLatency(t.quantile, t.min_samples, t.window, t.max_routes),
    "per_route_minimum": _Builder.per_route_minimum,
}
