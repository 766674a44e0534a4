"""How much is under way at upstreams with `limits`, as the hub reads it from the board."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from proxy.config.model import Upstream, UpstreamLimits
from proxy.hub import gauges
from proxy.hub.boards import Boards
from proxy.telemetry.metrics import Series
from proxy.upstream.board import CONNECTIONS, FLYING, LIMIT, PENDING, REQUESTS, RETRYING

_CELLS = {
    "connections": CONNECTIONS,
    "pending": PENDING,
    "requests": REQUESTS,
    "retries": RETRYING,
    "adaptive": FLYING,
}


class Bounded:
    """Reads."""

    def __init__(self, boards: Boards) -> None:
        self._boards = boards

    def series(self, upstreams: Mapping[str, Upstream]) -> Iterator[Series]:
        """Those of one instrument together."""
        some = {name: u.limits for name, u in upstreams.items() if u.limits is not None}
        seen = {name: self.view(name, limits) for name, limits in some.items()}
        for instrument, key in ((gauges.LIMIT, "limit"), (gauges.LIMIT_USED, "used")):
            for name, found in seen.items():
                for which, values in found.items():
                    if values["limit"]:
                        labels = (("spangate.limit", which), ("spangate.upstream", name))
                        yield Series(instrument, labels, values[key] or 0)

    def view(self, name: str, limits: UpstreamLimits) -> dict[str, dict[str, int | None]]:
        """For each limit what it is, None = there is none, and how much of it is used."""
        row = self._boards.totals((name, ""))
        found = {}
        for which, cell in _CELLS.items():
            limit = self._adaptive(name) if which == "adaptive" else getattr(limits, which)
            if which != "adaptive" or limits.adaptive:
                found[which] = {"limit": limit or None, "used": row[cell] if row else 0}
        return found

    def _adaptive(self, name: str) -> int:
        """The mean of those workers that know one; 0 = none does."""
        known = [row[LIMIT] for row in self._boards.rows((name, "")) if row[LIMIT]]
        return round(sum(known) / len(known) / 1000) if known else 0
