"""Settings of the memory limiter; names of the OpenTelemetry Collector's."""

from __future__ import annotations

from proxy.collector.parts import Problems
from proxy.config.section import Count, Section
from proxy.config.units import Seconds


class Settings(Section, frozen=True):
    """[collector.processors.memory_limiter]; soft limit = limit - spike."""

    check_interval: Seconds = Seconds(1)  # memory is looked at no more often
    limit_mib: Count = 0  # hard limit of the process's resident memory
    spike_limit_mib: Count = 0  # 0 = a fifth of the limit
    limit_percentage: Count = 0  # of the machine's or container's memory, instead of limit_mib
    spike_limit_percentage: Count = 0  # instead of spike_limit_mib

    def problems(self) -> Problems:
        if not self.limit_mib and not self.limit_percentage:
            yield (), "no limit is given", "write limit_mib = 400"
        if self.limit_mib and self.spike_limit_mib >= self.limit_mib:
            yield ("spike_limit_mib",), "the spike must be below the limit", ""
        for key in ("limit_percentage", "spike_limit_percentage"):
            if getattr(self, key) > 100:
                yield (key,), "more than 100 percent", ""
