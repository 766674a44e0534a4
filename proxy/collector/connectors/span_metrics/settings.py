"""Settings of the span_metrics connector; names and defaults of the OpenTelemetry Collector's."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from msgspec import Meta, field

from proxy.collector.parts import Problems
from proxy.config.section import Count, Positive, Section
from proxy.config.units import Seconds

BUCKETS = (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1000, 1400, 2000, 5000, 10_000, 15_000)  # ms
DEFAULT_DIMENSIONS = ("service.name", "span.name", "span.kind", "status.code")


class Dimension(Section, frozen=True):
    """An attribute of spans, or else of their resource."""

    name: str  # of the attribute
    default: str | None = None  # where there is none; without it the dimension is left out


class ExplicitBuckets(Section, frozen=True):
    """Upper bounds."""

    # bounds, as durations
    buckets: list[Seconds] = field(default_factory=lambda: [Seconds(ms / 1000) for ms in BUCKETS])


class ExponentialBuckets(Section, frozen=True):
    """Buckets that follow the values."""

    max_size: Annotated[int, Meta(ge=2)] = 160  # buckets at most


class Histogram(Section, frozen=True):
    """How durations are counted."""

    disable: bool = False  # no durations at all
    unit: Literal["ms", "s"] = "ms"  # of the durations
    explicit: ExplicitBuckets | None = None  # neither = explicit, with these defaults
    exponential: ExponentialBuckets | None = None


class Exemplars(Section, frozen=True):
    """Trace and span ids on durations."""

    enabled: bool = False  # to the spans behind the numbers
    max_per_data_point: Positive = 5  # the latest


class Settings(Section, frozen=True):
    """[collector.connectors.span_metrics]"""

    namespace: str = "traces.span.metrics"  # before the names of metrics; "" = none
    histogram: Histogram = field(default_factory=Histogram)
    dimensions: list[Dimension] = field(default_factory=list)
    # of those that are there by themselves
    exclude_dimensions: list[str] = field(default_factory=list)
    exemplars: Exemplars = field(default_factory=Exemplars)
    aggregation_temporality: Literal[  # sums since the start, or since the last time
        "cumulative",
        "delta",
        "AGGREGATION_TEMPORALITY_CUMULATIVE",
        "AGGREGATION_TEMPORALITY_DELTA",
    ] = "cumulative"
    metrics_flush_interval: Seconds = Seconds(60)  # from one sending to the next
    metrics_expiration: Seconds = Seconds(0)  # series without spans for so long go; 0 = never
    aggregation_cardinality_limit: Positive = 10_000  # series; the rest shares one for a resource
    resource_metrics_cache_size: Positive = 1000  # resources; the least recently seen goes
    resource_metrics_key_attributes: list[str] = field(default_factory=list)  # empty = all
    adjusted_counts: bool = True  # a span sampled at 10 % (tracestate `th`) counts ten times
    dimensions_cache_size: Count = 1000  # taken for compatibility; nothing needs it

    def problems(self) -> Problems:
        if not self.metrics_flush_interval:
            yield ("metrics_flush_interval",), "it would never flush", 'write "60s"'
        for index, name in enumerate(self.exclude_dimensions):
            if name not in DEFAULT_DIMENSIONS:
                known = ", ".join(DEFAULT_DIMENSIONS)
                yield ("exclude_dimensions", index), f"{name!r} is no default dimension", known
        for index, dimension in enumerate(self.dimensions):
            if dimension is not None and dimension.name in DEFAULT_DIMENSIONS:
                yield ("dimensions", index), f"{dimension.name!r} is there by default", ""
        shape = self.histogram
        if shape.explicit and shape.exponential:
            yield ("histogram",), "`explicit` and `exponential` exclude each other", "leave one out"
        buckets = shape.explicit.buckets if shape.explicit else [Seconds(1)]
        if not buckets or any(a >= b for a, b in pairwise(buckets)):
            yield (
                ("histogram", "explicit", "buckets"),
                "bounds must rise, and there must be one",
                "",
            )
