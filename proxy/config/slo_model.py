"""What a route promises to those who call it, as a frozen struct: see `model.py`.

Nothing that serves requests reads it. Dashboards and alerts are made of it.
"""

from __future__ import annotations

from proxy.config.section import Section
from proxy.config.units import Seconds, Share


class Slo(Section, frozen=True):
    """What a route promises, over any 30 days; what is left out is not promised."""

    availability: Share | None = None  # share of requests that do not fail: 0.999
    latency: Seconds | None = None  # within which `quantile` of the requests are answered
    quantile: Share = Share(0.99)  # share of requests that `latency` is promised for
