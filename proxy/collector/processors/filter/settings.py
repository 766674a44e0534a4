"""Settings of the filter processor: what is dropped."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import field

from proxy.collector.expression.compile import ExpressionError, Subject, compile_condition
from proxy.collector.ottl import plan
from proxy.collector.ottl.plan import Group
from proxy.collector.ottl.settings import Conditions, ErrorMode
from proxy.collector.parts import Problems
from proxy.config.section import Section

SUBJECTS: dict[str, Subject] = {
    "spans": "span",
    "logs": "log",
    "metrics": "metric",
    "data_points": "data_point",
}
OTTL = {"trace_conditions": "traces", "metric_conditions": "metrics", "log_conditions": "logs"}
# OTTL by place: (table, list) -> context
PLACES = {
    ("traces", "resource"): "resource",
    ("traces", "span"): "span",
    ("traces", "spanevent"): "spanevent",
    ("metrics", "resource"): "resource",
    ("metrics", "metric"): "metric",
    ("metrics", "datapoint"): "datapoint",
    ("logs", "resource"): "resource",
    ("logs", "log_record"): "log",
}


class Traces(Section, frozen=True):
    """Conditions in OTTL."""

    resource: list[str] = field(default_factory=list)  # drops everything of it
    span: list[str] = field(default_factory=list)  # drops the span
    spanevent: list[str] = field(default_factory=list)  # of the spans that stay


class Metrics(Section, frozen=True):
    """Conditions in OTTL."""

    resource: list[str] = field(default_factory=list)  # drops everything of it
    metric: list[str] = field(default_factory=list)  # drops all points of a metric
    datapoint: list[str] = field(default_factory=list)  # drops the point


class Logs(Section, frozen=True):
    """Conditions in OTTL."""

    resource: list[str] = field(default_factory=list)  # drops everything of it
    log_record: list[str] = field(default_factory=list)  # drops the record


class Settings(Section, frozen=True):
    """[collector.processors.filter]: an item is dropped if any condition of its list holds."""

    spans: list[str] = field(default_factory=list)  # conditions; a span that meets one is dropped
    logs: list[str] | Logs = field(default_factory=list)  # conditions; a table: OTTL
    metrics: list[str] | Metrics = field(default_factory=list)  # drops all points of a metric
    data_points: list[str] = field(default_factory=list)  # the same for points of metrics
    traces: Traces = field(default_factory=Traces)  # OTTL, as in the OpenTelemetry Collector
    trace_conditions: list[str | Conditions] = field(default_factory=list)  # OTTL of any context
    metric_conditions: list[str | Conditions] = field(default_factory=list)  # the same for metrics
    log_conditions: list[str | Conditions] = field(default_factory=list)  # the same for log records
    error_mode: ErrorMode = "ignore"  # what follows if an OTTL condition fails

    def own(self, key: str) -> list[str]:
        """Conditions of our own language."""
        found = getattr(self, key)
        return found if isinstance(found, list) else []

    def placed(self) -> Iterator[tuple[tuple[str, str], list[str]]]:
        """The lists of OTTL by place that have something in them."""
        for place in PLACES:
            table = getattr(self, place[0])
            texts = [] if isinstance(table, list) else getattr(table, place[1])
            if texts:
                yield place, texts

    def groups(self, signal: str) -> list[Group]:
        """The conditions of OTTL for one signal."""
        made = [
            plan.of_context(".".join(place), PLACES[place], texts, self.error_mode)
            for place, texts in self.placed()
            if place[0] == signal
        ]
        for key, of in OTTL.items():
            if of == signal:
                made += plan.conditions(key, signal, getattr(self, key), self.error_mode)
        return made

    def problems(self) -> Problems:
        own = any(self.own(key) for key in SUBJECTS)
        if not own and not any(self.placed()) and not any(getattr(self, key) for key in OTTL):
            remedy = """write trace_conditions = ['span.attributes["x"] == 1']"""
            yield (), "nothing is dropped", remedy
        for place, texts in self.placed():
            yield from plan.context_problems(place, PLACES[place], texts)
        for key, signal in OTTL.items():
            yield from plan.problems(key, signal, getattr(self, key))
        for key, subject in SUBJECTS.items():
            for index, text in enumerate(self.own(key)):
                try:
                    compile_condition(text, subject)
                except ExpressionError as error:
                    yield (key, index), str(error), error.remedy
