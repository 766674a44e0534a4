"""Tables of statements and conditions, as `transform` and `filter` of the Collector have them."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.config.section import Section

ErrorMode = Literal["ignore", "silent", "propagate"]
ContextName = Literal["resource", "scope", "span", "spanevent", "metric", "datapoint", "log"]


class Statements(Section, frozen=True):
    """A group of statements, carried out if one of the conditions holds, or if there is none."""

    statements: list[str]  # in this order
    context: ContextName | None = None  # None = told by the paths
    conditions: list[str] = field(default_factory=list)  # of which one must hold
    error_mode: ErrorMode | None = None  # None = the processor's


class Conditions(Section, frozen=True):
    """A group of conditions of one context."""

    conditions: list[str]  # of which one is enough
    context: ContextName | None = None  # None = told by the paths
    error_mode: ErrorMode | None = None  # None = the processor's
