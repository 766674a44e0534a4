"""Maintenance as requests meet it: a route that is closed, but for whom it lets pass.

Whether it is on is the worker's to know (`worker.py`), by the configuration and by the hub's word;
routes that are closed by themselves are so whatever that is. Requests that run go on.
"""

from __future__ import annotations

from proxy.config.model import Config, Route
from proxy.errors import Maintenance
from proxy.telemetry.facts import Exchange
from proxy.tracing.trust import Networks


class Closed:
    """What routes do while they are under maintenance."""

    __slots__ = ("_allowed", "_wait", "always")

    def __init__(self, config: Config, always: bool) -> None:
        said = config.errors.maintenance
        self._allowed = Networks(said.allow)
        self._wait = int(said.retry_after)
        self.always = always  # also while it is off elsewhere

    def check(self, x: Exchange) -> None:
        """Raises Maintenance, unless the client is one of those that are let in."""
        if not self._allowed.holds(x.client):
            raise Maintenance(self._wait)


def is_closable(route: Route) -> bool:
    """Whether the gateway's maintenance is the route's: what it answers by itself needs nobody."""
    return bool(route.to) if route.maintenance is None else route.maintenance
