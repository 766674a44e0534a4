"""Settings of the batch processor; names and defaults of the OpenTelemetry Collector's."""

from __future__ import annotations

from proxy.collector.parts import Problems
from proxy.config.section import Positive, Section
from proxy.config.units import Seconds, Size


class Settings(Section, frozen=True):
    """[collector.processors.batch]"""

    timeout: Seconds = Seconds(0.2)  # age at which a batch goes, however small; 0 = at once
    send_batch_size: Positive = 8192  # items at which it goes
    send_batch_max_bytes: Size = Size(3 * 1024 * 1024)  # below gRPC's customary 4 MiB

    def problems(self) -> Problems:
        if not self.send_batch_max_bytes:
            yield ("send_batch_max_bytes",), "a batch cannot be unlimited", 'write "3MiB"'
