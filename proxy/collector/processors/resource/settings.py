"""Settings of the resource processor; names of the OpenTelemetry Collector's."""

from __future__ import annotations

from msgspec import field

from proxy.collector.editing.settings import Action, check_actions
from proxy.collector.parts import Problems
from proxy.config.section import Section


class Settings(Section, frozen=True):
    """[collector.processors.resource]: of the resource of each request."""

    attributes: list[Action] = field(default_factory=list)

    def problems(self) -> Problems:
        yield from check_actions("attributes", self.attributes)
