"""Settings of the filter processor: what is dropped."""

from __future__ import annotations

from msgspec import field

from proxy.collector.expression.compile import ExpressionError, Subject, compile_condition
from proxy.collector.parts import Problems
from proxy.config.section import Section

SUBJECTS: dict[str, Subject] = {
    "spans": "span",
    "logs": "log",
    "metrics": "metric",
    "data_points": "data_point",
}


class Settings(Section, frozen=True):
    """[collector.processors.filter]: an item is dropped if any condition of its list holds."""

    spans: list[str] = field(default_factory=list)  # conditions; a span that meets one is dropped
    logs: list[str] = field(default_factory=list)  # the same for log records
    metrics: list[str] = field(default_factory=list)  # drops all points of a metric
    data_points: list[str] = field(default_factory=list)  # the same for points of metrics

    def problems(self) -> Problems:
        if not any(getattr(self, key) for key in SUBJECTS):
            yield (), "nothing is dropped", """write spans = ['attributes["x"] == 1']"""
        for key, subject in SUBJECTS.items():
            for index, text in enumerate(getattr(self, key)):
                try:
                    compile_condition(text, subject)
                except ExpressionError as error:
                    yield (key, index), str(error), ""
