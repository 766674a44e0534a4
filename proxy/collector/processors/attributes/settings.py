"""Settings of the attributes processor; names of the OpenTelemetry Collector's."""

from __future__ import annotations

from msgspec import field

from proxy.collector.editing.settings import Action, Match, check_actions
from proxy.collector.parts import Problems
from proxy.config.section import Section


class Settings(Section, frozen=True):
    """[collector.processors.attributes]: of spans, log records and data points."""

    actions: list[Action] = field(default_factory=list)
    include: Match | None = None  # None = all
    exclude: Match | None = None  # looked at after include

    def problems(self) -> Problems:
        yield from check_actions("actions", self.actions)
        for key in ("include", "exclude"):
            match = getattr(self, key)
            if match is not None:
                for path, message, remedy in match.problems():
                    yield (key, *path), message, remedy
