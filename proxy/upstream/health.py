"""When probes turn an endpoint's state: after `fall` bad ones in a row, or `rise` good ones.

Decides only; the hub probes, workers are told. An endpoint begins as up, since a gateway that
waits for `rise` probes would refuse its first requests.
"""

from __future__ import annotations

from enum import IntEnum


class ProbedState(IntEnum):
    UP = 0
    FALLING = 1  # up, and some probes have failed
    DOWN = 2
    RISING = 3  # down, and some probes have succeeded


# state -> (after a bad probe, after a good one), before the count is looked at
TRANSITIONS = {
    ProbedState.UP: (ProbedState.FALLING, ProbedState.UP),
    ProbedState.FALLING: (ProbedState.FALLING, ProbedState.UP),
    ProbedState.DOWN: (ProbedState.DOWN, ProbedState.RISING),
    ProbedState.RISING: (ProbedState.DOWN, ProbedState.RISING),
}
# What a state becomes once its count is full
TURNS = {ProbedState.FALLING: ProbedState.DOWN, ProbedState.RISING: ProbedState.UP}


class Health:
    """The state of one endpoint as its probes show it."""

    __slots__ = ("_count", "_needed", "state")

    def __init__(self, rise: int, fall: int, up: bool = True) -> None:
        self.state = ProbedState.UP if up else ProbedState.DOWN
        self._needed = {ProbedState.FALLING: fall, ProbedState.RISING: rise}
        self._count = 0  # probes in a row that speak against the state

    @property
    def up(self) -> bool:
        return self.state in (ProbedState.UP, ProbedState.FALLING)

    def probe(self, ok: bool) -> bool | None:
        """Take in a probe: the new state (True is up) if it turned, else None."""
        was_up = self.up
        self.state = TRANSITIONS[self.state][ok]
        if self.state not in TURNS:
            self._count = 0
            return None
        self._count += 1
        if self._count < self._needed[self.state]:
            return None
        self.state = TURNS[self.state]
        self._count = 0
        return not was_up
