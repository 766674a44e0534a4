"""What workers' breakers say, as the hub reads it from the board."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.hub import gauges
from proxy.hub.boards import Boards, Key
from proxy.hub.roster import Roster
from proxy.telemetry.metrics import Series
from proxy.upstream.board import CIRCUIT
from proxy.upstream.breaker import CircuitState


class Circuits:
    """Reads; what a worker counted that is gone stays counted."""

    def __init__(self, boards: Boards, roster: Roster) -> None:
        self._boards = boards
        self._roster = roster
        self._opened: dict[Key, tuple[int, int]] = {}  # at the last look; of those that are gone

    def states(self, key: Key) -> dict[str, int]:
        """How many workers have a breaker in which state; {} = all are closed."""
        found: dict[str, int] = {}
        for row in self._boards.rows(key):
            state = CircuitState(row[CIRCUIT] % 4)
            if state is not CircuitState.CLOSED:
                name = state.name.lower()
                found[name] = found.get(name, 0) + 1
        return found

    def series(self, upstreams: set[str]) -> Iterator[Series]:
        """Those of one instrument together, for upstreams that have breakers."""
        keys = [key for key, _ in self._roster if key[0] in upstreams]
        shown = {gauges.of_endpoint(key): key for key in keys}
        for labels, key in shown.items():
            yield Series(gauges.BREAKER, labels, sum(self.states(key).values()))
        for labels, key in shown.items():
            yield Series(gauges.BROKE, labels, self._ever(key))
        self._opened = {key: self._opened[key] for key in keys if key in self._opened}

    def _ever(self, key: Key) -> int:
        """Openings; of a worker that has gone since the last look, those until then."""
        now = sum(row[CIRCUIT] // 4 for row in self._boards.rows(key))
        before, gone = self._opened.get(key, (0, 0))
        gone += max(0, before - now)
        self._opened[key] = (now, gone)
        return now + gone
