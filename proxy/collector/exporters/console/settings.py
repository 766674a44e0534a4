"""Settings of the console exporter."""

from __future__ import annotations

from proxy.collector.parts import Problems
from proxy.config.section import Section
from proxy.config.units import Seconds


class Settings(Section, frozen=True):
    """[collector.exporters.console]"""

    quiet: Seconds = Seconds(0.4)  # without a new span, after which a trace is printed

    def problems(self) -> Problems:
        if not self.quiet:
            yield ("quiet",), "a trace needs a moment to become complete", 'write "400ms"'
