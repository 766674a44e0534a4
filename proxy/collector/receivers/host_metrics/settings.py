"""Settings of the host-metrics receiver; names and defaults of the OpenTelemetry Collector's."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.collector.parts import Problems
from proxy.config.section import Positive, Section
from proxy.config.syntax import parse_regex
from proxy.config.units import Seconds

Scraper = Literal["cpu", "memory", "network", "process"]


class Processes(Section, frozen=True):
    """Which processes the scraper `process` tells of."""

    include: list[str] = field(default_factory=list)  # regular expressions of names; [] = all
    exclude: list[str] = field(default_factory=list)  # those that are left out
    limit: Positive = 200  # those that have used the most CPU; the rest is left out


class Settings(Section, frozen=True):
    """[collector.receivers.hostmetrics]; Linux only"""

    collection_interval: Seconds = Seconds(60)  # from one reading to the next
    initial_delay: Seconds = Seconds(1)  # before the first
    # what is read
    scrapers: list[Scraper] = field(default_factory=lambda: ["cpu", "memory", "network"])
    root_path: str = ""  # where the host's file system is mounted, if we are in a container
    per_cpu: bool = False  # one series for each CPU instead of one for all
    processes: Processes = field(default_factory=Processes)

    def problems(self) -> Problems:
        if self.collection_interval <= 0:
            yield ("collection_interval",), "this must be more than 0", 'write "1m"'
        if not self.scrapers:
            yield ("scrapers",), "nothing would be read", 'write ["cpu", "memory"]'
        for key in ("include", "exclude"):
            for i, pattern in enumerate(getattr(self.processes, key)):
                try:
                    parse_regex(pattern)
                except ValueError as error:
                    yield ("processes", key, i), str(error), ""
