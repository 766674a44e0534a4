"""Which endpoints of an upstream answer so badly that they get no requests for a time.

Pure: what was counted and the time are arguments; the hub asks it (`hub/ejections.py`) and tells
the workers. Two rules, after Envoy's outlier detection:

* `errors` failed tries in a row, as one worker or all of them together have seen them;
* a success rate below that of the other endpoints by more than 1.9 standard deviations of theirs,
  by more than chance explains (five standard errors), and by more than a tenth.

The n-th time out lasts n times `base`, ten times at most, and n falls by one with each `base` in
which the endpoint was in and nothing spoke against it. No more than `max` of all are out at once,
counted after the ejection, but one always may be, and never the last that is up. Where others go,
so that more are out than may be, some come back before their time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import fsum, sqrt

from proxy.config.health import Eject

WINDOWS = (1.0, 10.0)  # seconds over which rates are compared: the shorter one where it suffices
LEAST = 30  # tries of an endpoint in a window that make a rate
DEVIATIONS = 1.9  # Envoy: success_rate_stdev_factor
CHANCE = 5.0  # standard errors that chance does not explain: once in three million looks
MARGIN = 0.1  # a smaller difference hurts nobody
LONGEST = 10  # times `base` (Envoy: max_ejection_time is 300 s)
TRIAL = 5  # good answers after the return, until when one bad one is enough


@dataclass(frozen=True, slots=True)
class Counted:
    """Of one endpoint and all workers, since some time: it may begin anew."""

    ok: int = 0
    failed: int = 0
    tripped: int = 0  # times that a worker saw `errors` failures in a row


@dataclass(frozen=True, slots=True)
class Turn:
    """An endpoint goes out, comes back in, or stays though it should go."""

    url: str
    out: bool
    why: str
    until: float = 0.0  # when it comes back; 0 = it is not out
    back: bool = False


@dataclass(slots=True)
class Record:
    """What is remembered of an endpoint."""

    last: Counted
    recent: deque[tuple[float, int, int]] = field(default_factory=deque)  # when, ok, failed
    row: int = 0  # failures since a look that saw a success
    times: int = 0  # that it was put out, less what quiet time took off
    until: float = 0.0  # when it comes back; 0 = it is in
    quiet: float = 0.0  # since when nothing spoke against it
    trial: int = 0  # good answers still wanted since it came back
    refused: bool = False  # it should be out, but too many are
    ejections: int = 0  # ever
    why: str = ""  # of the last one


class Ejector:
    """One upstream's. Times are seconds, monotonic."""

    def __init__(self, settings: Eject) -> None:
        self.settings = settings
        self.records: dict[str, Record] = {}  # by URL

    def look(
        self, now: float, counted: Mapping[str, Counted], healthy: Collection[str]
    ) -> list[Turn]:
        """What changes, in order; `healthy` are those that get requests now."""
        turns: list[Turn] = []
        for _ in self.steps(now, counted, healthy, turns):
            pass
        return turns

    def steps(
        self,
        now: float,
        counted: Mapping[str, Counted],
        healthy: Collection[str],
        turns: list[Turn],
    ) -> Iterator[None]:
        """The same, into `turns`, with a pause after each endpoint, as there may be many."""
        bad: dict[str, str] = {}
        for url in list(self.records):
            if url not in counted:
                del self.records[url]
            elif (turn := self._return(url, now)) is not None:
                turns.append(turn)
            yield
        turns += self._spare(now)
        for url, new in counted.items():
            if why := self._take(url, now, new):
                bad[url] = why
            yield
        if self.settings.success_rate:
            for window in WINDOWS:
                worse: dict[str, str] = {}
                yield from self._rates(now, window, worse)
                bad = worse | bad
                if worse:
                    break
        turns += self._put_out(bad, now, {url for url in healthy if url in counted})
        for url, record in self.records.items():
            record.refused = record.refused and url in bad
            self._calm(record, now)
            yield

    def _return(self, url: str, now: float) -> Turn | None:
        record = self.records[url]
        if not record.until or now < record.until:
            return None
        return self._bring_back(url, now, f"its {_nth(record.times)} time out is over")

    def _bring_back(self, url: str, now: float, why: str) -> Turn:
        record = self.records[url]
        record.until, record.quiet, record.trial = 0.0, now, TRIAL
        record.recent.clear()
        return Turn(url, False, why, back=True)

    def _most(self) -> int:
        """How many may be out at once."""
        total = len(self.records)
        return max(int(self.settings.max * total + 1e-9), 1 if total > 1 else 0)

    def _spare(self, now: float) -> list[Turn]:
        """Others went, or `max` fell: of those that are out, those whose time is over first come
        back, until no more are out than may be."""
        out = sorted((record.until, url) for url, record in self.records.items() if record.until)
        most = self._most()
        why = f"{len(out)} of {len(self.records)} are out, and no more than {most} may be"
        return [self._bring_back(url, now, why) for _, url in out[: max(0, len(out) - most)]]

    def _take(self, url: str, now: float, new: Counted) -> str:
        """Note what was counted since the last look; why it should go by that, "" = it need not."""
        record, errors = self.records.get(url), self.settings.errors
        if record is None:
            self.records[url] = Record(last=new, quiet=now)
            return ""
        old, record.last = record.last, new
        ok, failed = max(0, new.ok - old.ok), max(0, new.failed - old.failed)
        if record.until:  # what still ran when it was put out
            return ""
        if ok or failed:
            record.recent.append((now, ok, failed))
        while record.recent and record.recent[0][0] <= now - WINDOWS[-1]:
            record.recent.popleft()
        record.row = 0 if ok else record.row + failed
        if failed and record.trial:
            return "it failed when it was back on trial"
        record.trial = max(0, record.trial - ok)
        if errors and (new.tripped > old.tripped or record.row >= errors):
            return f"{max(errors, record.row)} failures in a row"
        return ""

    def _rates(self, now: float, window: float, worse: dict[str, str]) -> Iterator[None]:
        """Why they should go, by their success rate."""
        known = {}
        for url, record in self.records.items():
            if not record.until:
                ok, tries = _sum(record, now - window)
                if tries >= LEAST:
                    known[url] = (ok, tries)
                yield
        peers = Peers(known)
        for url in known:
            if why := peers.worse(url):
                worse[url] = f"{why} in {window:g} s"
            yield

    def _put_out(self, bad: Mapping[str, str], now: float, up: set[str]) -> list[Turn]:
        found = (self._eject(url, now, why, up) for url, why in bad.items())
        return [turn for turn in found if turn is not None]

    def _eject(self, url: str, now: float, why: str, up: set[str]) -> Turn | None:
        record, total = self.records[url], len(self.records)
        out = sum(1 for one in self.records.values() if one.until)
        most = self._most()
        if out >= most or not up - {url}:
            told, record.refused, record.why = record.refused, True, why
            if told:
                return None
            limit = f"{out} of {total} are out, and no more than {most} may be"
            return Turn(url, False, f"{why}; {'it is the last' if out < most else limit}")
        up.discard(url)
        record.times = min(record.times + 1, LONGEST)
        record.until = now + self.settings.base * record.times
        record.ejections += 1
        record.row, record.trial, record.refused, record.why = 0, 0, False, why
        record.recent.clear()
        return Turn(url, True, why, record.until)

    def _calm(self, record: Record, now: float) -> None:
        if record.until or record.refused:
            record.quiet = now
        elif record.times and now - record.quiet >= self.settings.base:
            record.times -= 1
            record.quiet = now


class Peers:
    """Success rates beside each other. `known`: successes and tries of each."""

    def __init__(self, known: Mapping[str, tuple[int, int]]) -> None:
        self.known = known
        rates = [ok / tries for ok, tries in known.values()]
        self._sum, self._squares = fsum(rates), fsum(rate * rate for rate in rates)
        self._ok = sum(ok for ok, _ in known.values())
        self._tries = sum(tries for _, tries in known.values())

    def worse(self, url: str) -> str:
        """Why this one's rate is not like the others', with numbers; "" = it is."""
        others = len(self.known) - 1
        if not others:
            return ""
        ok, tries = self.known[url]
        rate = ok / tries
        mean = (self._sum - rate) / others
        deviation = sqrt(max(0.0, (self._squares - rate * rate) / others - mean * mean))
        limit = mean - max(DEVIATIONS * deviation, CHANCE * self._error(tries), MARGIN)
        if rate >= limit:
            return ""
        return f"{rate:.0%} of {tries} succeeded, where the others' {mean:.0%} allow {limit:.0%}"

    def _error(self, tries: int) -> float:
        """The standard error of a difference, if all were alike."""
        rate = self._ok / self._tries
        return sqrt(rate * (1 - rate) * (1 / tries + 1 / (self._tries - tries)))


def _sum(record: Record, since: float) -> tuple[int, int]:
    some = [(ok, ok + failed) for at, ok, failed in record.recent if at > since]
    return sum(ok for ok, _ in some), sum(n for _, n in some)


def _nth(times: int) -> str:
    return {1: "first", 2: "second", 3: "third"}.get(times, f"{times}th")
