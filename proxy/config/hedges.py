"""What `retry.hedge` says: a time, or a percentile of the times that answers take."""

from __future__ import annotations

import re

from proxy.config.units import Seconds

_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)")


def parse_hedge(text: str) -> tuple[float, float]:
    """(seconds, 0.0) of "50ms", (0.0, 0.95) of "p95". ValueError for anything else."""
    found = _PERCENTILE.fullmatch(text)
    if found is not None:
        share = float(found[1]) / 100
        if not share:
            raise ValueError("p0 would begin each request twice")
        return 0.0, share
    seconds = float(Seconds.parse(text))
    if not seconds:
        raise ValueError("after no time each request would begin twice")
    return seconds, 0.0
