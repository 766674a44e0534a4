"""Settings of the debug exporter; names and defaults of the OpenTelemetry Collector's."""

from __future__ import annotations

from typing import Literal

from proxy.config.section import Count, Positive, Section


class Settings(Section, frozen=True):
    """[collector.exporters.debug]"""

    verbosity: Literal["basic", "normal", "detailed"] = "basic"  # a line a batch, an item, or all
    sampling_initial: Count = 2  # batches of each second that are shown
    sampling_thereafter: Positive = 1  # of those that follow, each so-many-th
