"""Settings of the group_by_trace processor; names of the OpenTelemetry Collector's."""

from __future__ import annotations

from proxy.collector.parts import Problems
from proxy.config.section import Positive, Section
from proxy.config.units import Seconds, Size


class Settings(Section, frozen=True):
    """[collector.processors.group_by_trace]"""

    wait_duration: Seconds = Seconds(1)  # after a trace's first span
    num_traces: Positive = 1_000_000  # that wait at once; beyond them the oldest goes early
    memory_limit: Size = Size(256 * 1024 * 1024)  # for what waits; 0 = no limit

    def problems(self) -> Problems:
        if not self.wait_duration:
            yield ("wait_duration",), "a trace cannot wait for ever", 'write "1s"'
