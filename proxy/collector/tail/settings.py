"""Policies of the tail_sampling processor: their tables, named as the OpenTelemetry Collector's.

A policy is `{ name = "slow", type = "latency", latency = { threshold_ms = 500 } }`: its settings
are in a table that is called like its type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, field

from proxy.collector.editing.patterns import compile_pattern
from proxy.collector.expression.tokens import ExpressionError
from proxy.collector.parts import Problems
from proxy.config.section import Count, Positive, Section
from proxy.config.units import Share

Percent = Annotated[float, Meta(ge=0, le=100)]


class AlwaysSample(Section, frozen=True):
    """Everything."""


class Latency(Section, frozen=True):
    """From the earliest start to the latest end."""

    threshold_ms: Count  # milliseconds from a trace's first start to its last end
    upper_threshold_ms: Count = 0  # 0 = none


class NumericAttribute(Section, frozen=True):
    """A number of a span or resource; both bounds are included."""

    key: str  # the attribute
    min_value: int | None = None  # from here
    max_value: int | None = None  # to here
    invert_match: bool = False  # keep what lies outside


class Probabilistic(Section, frozen=True):
    """A share of all traces."""

    sampling_percentage: Percent  # 0 to 100
    hash_salt: str = ""  # "" = by the trace's own randomness, with `th` in its tracestate


class StatusCode(Section, frozen=True):
    """A span with one of these."""

    status_codes: list[Literal["OK", "ERROR", "UNSET"]]  # of any span


class StringAttribute(Section, frozen=True):
    """A text of a span or resource."""

    key: str  # the attribute
    values: list[str]  # any of which will do
    enabled_regex_matching: bool = False  # then each value is searched for in the text
    cache_max_size: Positive = 128  # answers remembered
    invert_match: bool = False  # keep what has none of them


class TraceState(Section, frozen=True):
    """A member of the W3C tracestate."""

    key: str  # the entry
    values: list[str]  # any of which will do


class TraceFlags(Section, frozen=True):
    """The W3C sampled flag, on any span."""


class RateLimiting(Section, frozen=True):
    """So many spans a second."""

    spans_per_second: Positive  # kept at most


class BytesLimiting(Section, frozen=True):
    """A bucket of bytes."""

    bytes_per_second: Positive  # kept at most
    burst_capacity: Count = 0  # 0 = twice as many


class SpanCount(Section, frozen=True):
    """Both included."""

    min_spans: Count = 0  # from so many on
    max_spans: Count = 0  # 0 = no bound


class BooleanAttribute(Section, frozen=True):
    """A truth value of a span or resource."""

    key: str  # the attribute
    value: bool  # what it must be
    invert_match: bool = False  # keep what it is not


class OttlCondition(Section, frozen=True):
    """A span that meets any of these; `ottl_condition` in OTTL, `condition` in our language."""

    error_mode: Literal["ignore", "silent", "propagate"] = "ignore"  # what fails does not hold
    span: list[str] = field(default_factory=list)  # conditions, any of which will do
    spanevent: list[str] = field(default_factory=list)  # the same about events


class And(Section, frozen=True):
    """All of them say yes."""

    and_sub_policy: list[Policy]


class Not(Section, frozen=True):
    """It says no."""

    not_sub_policy: Policy


class Drop(Section, frozen=True):
    """What all of them say yes to is dropped, whatever others say."""

    drop_sub_policy: list[Policy]


class RateAllocation(Section, frozen=True):
    """A policy's part of the budget."""

    policy: str  # the name of a sub-policy
    percent: Percent = 0  # its share of the total


class Composite(Section, frozen=True):
    """A budget, shared among policies in order."""

    max_total_spans_per_second: Positive  # of all sub-policies together
    composite_sub_policy: list[Policy]
    policy_order: list[str] = field(default_factory=list)  # empty = as they are written
    rate_allocation: list[RateAllocation] = field(default_factory=list)  # the rest gets the rest


class RouteLatency(Section, frozen=True):
    """Slower than usual on its own route."""

    quantile: Share = Share(0.99)  # 0 to 1: what is slower than that of its route is kept
    min_samples: Positive = 100  # durations before it judges a route
    window: Annotated[int, Meta(ge=10)] = 10_000  # durations after which the older half counts less
    max_routes: Positive = 1000  # some 20 KB each


class PerRouteMinimum(Section, frozen=True):
    """At least so many traces of each route in each minute."""

    traces_per_minute: Positive = 1  # of each route, whatever else is dropped
    max_routes: Positive = 10_000  # beyond them, routes share one count


TABLES: dict[str, type[Section]] = {
    "always_sample": AlwaysSample,
    "latency": Latency,
    "numeric_attribute": NumericAttribute,
    "probabilistic": Probabilistic,
    "status_code": StatusCode,
    "string_attribute": StringAttribute,
    "trace_state": TraceState,
    "trace_flags": TraceFlags,
    "rate_limiting": RateLimiting,
    "bytes_limiting": BytesLimiting,
    "span_count": SpanCount,
    "boolean_attribute": BooleanAttribute,
    "ottl_condition": OttlCondition,
    "condition": OttlCondition,
    "and": And,
    "not": Not,
    "drop": Drop,
    "composite": Composite,
    "route_latency": RouteLatency,
    "per_route_minimum": PerRouteMinimum,
}
# They work without a table of their own.
WITHOUT = {"always_sample", "trace_flags", "route_latency", "per_route_minimum"}

if TYPE_CHECKING:
    Policy = Any
else:
    # `and` and `not` are words of Python, which a class statement cannot have as fields.
    Policy = msgspec.defstruct(
        "Policy",
        [
            ("name", str),
            ("type", Literal[tuple(TABLES)]),
            *((name, table | None, None) for name, table in TABLES.items()),
        ],
        bases=(Section,),
        frozen=True,
        kw_only=True,
        forbid_unknown_fields=True,
        module=__name__,
        namespace={"__doc__": "One policy; only the table of its type is looked at."},
    )


def table_of(policy: Policy) -> Any:
    """The settings of its type; only after `check_policies` found no problem."""
    table = getattr(policy, policy.type)
    return TABLES[policy.type]() if table is None else table


def check_policies(key: str, policies: Iterable[Policy]) -> Problems:
    """What must hold between the values of policies that may be in one another."""
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        if policy is None:  # it was reported already
            continue
        for path, message, remedy in _check(policy):
            yield (key, index, *path), message, remedy
        if policy.name in seen:
            yield (key, index, "name"), f"two policies are called {policy.name!r}", "rename one"
        seen.add(policy.name)


def _check(policy: Policy) -> Problems:
    kind = policy.type
    table = getattr(policy, kind)
    for name in TABLES:
        if name != kind and getattr(policy, name) is not None:
            yield (name,), f"the type is {kind!r}, so nobody looks at this", "leave it out"
    if table is None:
        if kind not in WITHOUT:
            yield (kind,), f"the table `{kind}` is missing", f"write {kind} = {{ … }}"
        return
    subs = getattr(table, f"{kind}_sub_policy", None)
    if subs is not None:
        listed = subs if isinstance(subs, list) else [subs]
        if not listed:
            yield (kind, f"{kind}_sub_policy"), "there are no policies in it", "name one"
        for path, message, remedy in check_policies(f"{kind}_sub_policy", listed):
            yield (kind, *path), message, remedy
    for path, message, remedy in _CHECKS.get(kind, _nothing)(table):
        yield (kind, *path), message, remedy


def _nothing(table: Any) -> Problems:
    yield from ()


def _patterns(table: StringAttribute) -> Problems:
    if not table.enabled_regex_matching:
        return
    for index, value in enumerate(table.values):
        try:
            compile_pattern(value)
        except ValueError as error:
            yield ("values", index), str(error), ""


def _bounds(table: NumericAttribute) -> Problems:
    if table.min_value is None and table.max_value is None:
        yield (), "there is no bound", "give `min_value` or `max_value`"


def _shares(table: Composite) -> Problems:
    names = {policy.name for policy in table.composite_sub_policy if policy is not None}
    for index, name in enumerate(table.policy_order):
        if name not in names:
            yield ("policy_order", index), f"no policy here is called {name!r}", ""
    for index, share in enumerate(table.rate_allocation):
        if share is not None and share.policy not in names:
            yield ("rate_allocation", index), f"no policy here is called {share.policy!r}", ""
    if sum(share.percent for share in table.rate_allocation if share is not None) > 100:
        yield ("rate_allocation",), "more than 100 percent are given away", ""


def _conditions(table: OttlCondition) -> Problems:
    from proxy.collector.expression.compile import compile_condition

    yield from _compiled(table, lambda source: compile_condition(source, "span"))


def _ottl_conditions(table: OttlCondition) -> Problems:
    from proxy.collector.ottl.spans import span_condition

    yield from _compiled(table, span_condition)


def _compiled(table: OttlCondition, compile_one: Callable[[str], object]) -> Problems:
    for index, source in enumerate(table.span):
        try:
            compile_one(source)
        except ExpressionError as error:
            yield ("span", index), str(error), error.remedy
    if table.spanevent:
        yield ("spanevent",), "conditions on span events are not supported", "use `span`"
    elif not table.span:
        yield ("span",), "there is no condition", """write span = ['name == "GET /x"']"""


_CHECKS: dict[str, Any] = {
    "string_attribute": _patterns,
    "numeric_attribute": _bounds,
    "composite": _shares,
    "ottl_condition": _ottl_conditions,
    "condition": _conditions,
}
