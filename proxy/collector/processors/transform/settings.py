"""Settings of the transform processor: what is changed."""

from __future__ import annotations

from msgspec import field

from proxy.collector.expression.compile import ExpressionError, Subject, compile_statement
from proxy.collector.ottl import plan
from proxy.collector.ottl.settings import ErrorMode, Statements
from proxy.collector.parts import Problems
from proxy.config.section import Section

SUBJECTS: dict[str, Subject] = {
    "resources": "resource",
    "spans": "span",
    "logs": "log",
    "metrics": "metric",
    "data_points": "data_point",
}
OTTL = {"trace_statements": "traces", "metric_statements": "metrics", "log_statements": "logs"}


class Settings(Section, frozen=True):
    """[collector.processors.transform]: statements, carried out in their order on each item."""

    resources: list[str] = field(default_factory=list)  # before everything else
    spans: list[str] = field(default_factory=list)  # statements, in this order
    logs: list[str] = field(default_factory=list)  # the same for log records
    metrics: list[str] = field(default_factory=list)  # before the data points
    data_points: list[str] = field(default_factory=list)  # the same for points of metrics
    # OTTL, as in the OpenTelemetry Collector; before the lists above
    trace_statements: list[str | Statements] = field(default_factory=list)
    metric_statements: list[str | Statements] = field(default_factory=list)  # the same for metrics
    log_statements: list[str | Statements] = field(default_factory=list)  # the same for logs
    error_mode: ErrorMode = "ignore"  # what follows if an OTTL statement fails

    def problems(self) -> Problems:
        if not any(getattr(self, key) for key in (*SUBJECTS, *OTTL)):
            remedy = """write trace_statements = ['set(span.name, "x") where span.name == "y"']"""
            yield (), "nothing is changed", remedy
        for key, signal in OTTL.items():
            yield from plan.problems(key, signal, getattr(self, key))
        for key, subject in SUBJECTS.items():
            for index, text in enumerate(getattr(self, key)):
                try:
                    compile_statement(text, subject)
                except ExpressionError as error:
                    yield (key, index), str(error), error.remedy
