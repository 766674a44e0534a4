"""When one worker stops asking an endpoint by itself, and how it begins again.

Pure: time (ns, monotonic) and outcomes are arguments. A circuit is closed; it opens when too large
a share of the tries in its window failed, and after its time it is half open: one request at a
time goes through, and TRIALS good ones in a row close it, while a bad one opens it again. The same
trial is what an endpoint goes through that comes back from an ejection (`eject.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import IntEnum

from proxy.config.health import Breaker as Settings
from proxy.upstream.balance import Outcome
from proxy.upstream.board import Board
from proxy.upstream.endpoint import BROKEN, Endpoint

LEAST = 10  # tries in the window that make a share; Hystrix: 20
PARTS = 10  # of the window; it moves by one of them at a time
TRIALS = 3  # good answers in a row that close it
RETURN = Settings(open=1.0)  # type: ignore[arg-type]  # by which an ejected one is tried
_BAD = (Outcome.SERVER_ERROR, Outcome.ERROR)


class CircuitState(IntEnum):
    CLOSED = 0
    HALF_OPEN = 1  # the next request is a trial
    TRYING = 2  # it is under way
    OPEN = 3


class Circuit:
    """One endpoint's."""

    __slots__ = (
        "_end",
        "_failures",
        "_good",
        "_parts",
        "_tries",
        "opened",
        "share",
        "state",
        "tries",
        "until",
    )

    def __init__(self) -> None:
        self.state = CircuitState.CLOSED
        self.until = 0  # when an open one becomes half open, or a trial is waited for no longer
        self.opened = 0  # times
        self.share = 0.0  # of failures, when it opened
        self.tries = 0  # in the window, when it opened
        self._good = 0
        self._parts: deque[list[int]] = deque()  # of time: its number, tries, failures
        self._end = 0  # of the last part (ns, monotonic)
        self._tries = 0  # in all parts
        self._failures = 0

    def count(self, bad: bool, now: int, settings: Settings) -> bool:
        """Note how a try of a closed one ended; True if that opens it."""
        if now >= self._end:
            self._move(now, int(settings.window * 1e9) // PARTS)
        last = self._parts[-1]
        last[1] += 1
        self._tries += 1
        if not bad:
            return False
        last[2] += 1
        self._failures += 1
        tries, failures = self._tries, self._failures
        if tries < LEAST or failures < settings.failures * tries:
            return False
        self.share, self.tries = failures / tries, tries
        self.open(now, settings)
        return True

    def _move(self, now: int, part: int) -> None:
        """Begin another part of the window, and leave those behind that are too long ago."""
        number = now // part
        self._end = (number + 1) * part
        parts = self._parts
        while parts and parts[0][0] <= number - PARTS:
            _, tries, failures = parts.popleft()
            self._tries -= tries
            self._failures -= failures
        parts.append([number, 0, 0])

    def open(self, now: int, settings: Settings) -> None:
        """No requests until the time is over."""
        self.state, self._good = CircuitState.OPEN, 0
        self._parts.clear()
        self._end = self._tries = self._failures = 0
        self.until = now + int(settings.open * 1e9)
        self.opened += 1

    def halve(self) -> None:
        """One request may come."""
        self.state = CircuitState.HALF_OPEN

    def tried(self, good: bool | None, now: int, settings: Settings) -> None:
        """How a trial ended; None: nobody knows."""
        if good is False:
            self.share, self.tries = 0.0, 0
            self.open(now, settings)
            return
        self._good += good is True
        self.state = CircuitState.CLOSED if self._good >= TRIALS else CircuitState.HALF_OPEN


class Breakers:
    """A Feedback: the circuits of one upstream's endpoints in one worker.

    `settings` None: circuits never open by what they count, only ejected endpoints are tried when
    they come back. `changed` is told of an endpoint whose `up` has changed. Its time is that of
    the last try that began, or of the last `look`.
    """

    __slots__ = ("_board", "_changed", "_circuits", "_lines", "_now", "_out", "settings")

    def __init__(self, changed: Callable[[Endpoint], None], board: Board | None = None) -> None:
        self.settings: Settings | None = None
        self._changed = changed
        self._board = board
        self._circuits: dict[Endpoint, Circuit] = {}
        self._out: dict[Endpoint, Circuit] = {}  # those of them that are not closed
        self._lines: list[str] = []  # about changes, for the log
        self._now = 0

    def begin(self, endpoint: Endpoint, now: int) -> None:
        """See `Feedback`."""
        self._now = now
        circuit = self._circuits.get(endpoint)
        if circuit is not None and circuit.state is CircuitState.HALF_OPEN:
            circuit.state = CircuitState.TRYING
            circuit.until = now + int((self.settings or RETURN).open * 1e9)
            self._put(endpoint, circuit, True)

    def end(self, endpoint: Endpoint, outcome: Outcome, ns: int) -> None:
        """See `Feedback`."""
        circuit, now = self._circuits.get(endpoint), self._now
        if circuit is None:
            if self.settings is None:
                return
            circuit = self._circuits[endpoint] = Circuit()
        if circuit.state is CircuitState.CLOSED:
            judged = self.settings is not None and outcome is not Outcome.ABANDONED
            if judged and circuit.count(outcome in _BAD, now, self.settings or RETURN):
                self._put(endpoint, circuit, True)
                self._tell(endpoint, circuit)
        elif circuit.state is CircuitState.TRYING:
            self._end_trial(endpoint, circuit, outcome)

    def _end_trial(self, endpoint: Endpoint, circuit: Circuit, outcome: Outcome) -> None:
        good = None if outcome is Outcome.ABANDONED else outcome not in _BAD
        circuit.tried(good, self._now, self.settings or RETURN)
        self._put(endpoint, circuit, circuit.state is CircuitState.OPEN)
        if circuit.state is not CircuitState.HALF_OPEN:
            self._tell(endpoint, circuit)

    def comes_back(self, endpoint: Endpoint) -> None:
        """It was ejected, and is to be tried now."""
        circuit = self._circuits.setdefault(endpoint, Circuit())
        if circuit.state is CircuitState.CLOSED:
            circuit.halve()
            self._put(endpoint, circuit, False)

    def look(self, now: int) -> list[str]:
        """Let those be tried whose time is over, and those whose trial takes too long; what is to
        be said since the last look. Called a few times a second."""
        self._now = now
        for endpoint, circuit in self._out.items():
            waits = circuit.state in (CircuitState.OPEN, CircuitState.TRYING)
            if waits and now >= circuit.until:
                circuit.halve()
                self._put(endpoint, circuit, False)
        said, self._lines = self._lines, []
        return said

    def keep(self, endpoints: Iterable[Endpoint]) -> None:
        """Forget all but these."""
        kept = set(endpoints)
        self._circuits = {e: c for e, c in self._circuits.items() if e in kept}
        self._out = {e: c for e, c in self._out.items() if e in kept}

    def forget(self, endpoint: Endpoint) -> None:
        """It is gone."""
        self._circuits.pop(endpoint, None)
        self._out.pop(endpoint, None)

    def stop(self) -> None:
        """There is no breaker any more: all may be asked."""
        for endpoint in self._out:
            if endpoint.mark(BROKEN, False):
                self._changed(endpoint)
        self._circuits.clear()
        self._out.clear()

    def wait(self, now: int) -> float:
        """Seconds until the first of those that are out is tried; 0 = none is out, or one is being
        tried now."""
        waiting = [c.until for c in self._out.values() if c.state is CircuitState.OPEN]
        return max(0, min(waiting, default=now) - now) * 1e-9

    def _tell(self, endpoint: Endpoint, circuit: Circuit) -> None:
        if self.settings is None:
            return  # the hub tells of ejections
        place = f"upstream {endpoint.upstream}: {endpoint.url}"
        if circuit.state is CircuitState.CLOSED:
            self._lines.append(f"{place}: breaker closed: {TRIALS} good answers in a row")
        elif circuit.tries:
            numbers = f"{circuit.share:.0%} of {circuit.tries} tries"
            window, pause = self.settings.window, self.settings.open
            why = f"{numbers} in {window:g} s failed"
            self._lines.append(f"{place}: breaker open: {why}; tried again in {pause:g} s")
        else:
            self._lines.append(f"{place}: breaker open: its trial failed")

    def _put(self, endpoint: Endpoint, circuit: Circuit, broken: bool) -> None:
        if circuit.state is CircuitState.CLOSED:
            self._out.pop(endpoint, None)
        else:
            self._out[endpoint] = circuit
        if self._board is not None:
            self._board.show_circuit(endpoint, circuit.state, circuit.opened)
        if endpoint.mark(BROKEN, broken):
            self._changed(endpoint)
