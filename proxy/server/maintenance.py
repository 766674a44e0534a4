"""Maintenance as requests meet it: a route that is closed, but for whom it lets pass.

Whether it is on is the worker's to know (`worker.py`), by the configuration and by the hub's word;
routes that are closed by themselves are so whatever that is. Requests that run go on.
"""

from __future__ import annotations

from proxy.config.model import Config, Route
from proxy.errors import ProxyError
from proxy.telemetry.facts import Exchange
from proxy.tracing.trust import Networks


class Maintenance(ProxyError):
    """An operator has switched it on; `wait` is told in seconds, 0 = nothing."""

    status = 503
    reason = "proxy_internal_response"
    error_type = "maintenance"
    public = True
    which = "maintenance"

    def __init__(self, wait: int = 0) -> None:
        super().__init__("the service is under maintenance")
        if wait:
            self.lines = ((b"retry-after", b"%d" % wait),)


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
