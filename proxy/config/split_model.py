"""Tables about which requests go where and where copies of them go, as frozen structs: see
`model.py`."""

from __future__ import annotations

from proxy.config.section import Section
from proxy.config.units import Share


class Mirror(Section, frozen=True):
    """Copies of requests, whose answers nobody sees."""

    to: str  # name of an upstream
    share: Share = Share(1)  # of the route's requests


class SplitBy(Section, frozen=True):
    """How clients stay with one of a route's upstreams."""

    # "cookie:NAME", "header:NAME", "client", "path:NAME": the same value, the same upstream
    sticky: str = ""
