"""The tables about looking at what happens: recent telemetry, and the pages that show it.

Part of the reference in `model.py`, which holds the whole file.
"""

from __future__ import annotations

from proxy.config.section import Section
from proxy.config.units import Size


class Recent(Section, frozen=True):
    """What is kept of spans and logs to be looked at, in the collector's process."""

    size: Size = Size(16 * 1024 * 1024)  # of the latest; 0 = nothing is kept, and no pages show it
    failed: Size = Size(4 * 1024 * 1024)  # of failed and slow traces, which stay for longer
    path: str = ""  # a folder, to keep them on disk as well; "" = in memory alone
    disk: Size = Size(1024 * 1024 * 1024)  # bytes of it; a quarter is for failed and slow traces


class Ui(Section, frozen=True):
    """The pages of the admin port."""

    # where traces are kept for good: "https://jaeger.example/trace/{trace_id}"
    trace_url: str = ""
