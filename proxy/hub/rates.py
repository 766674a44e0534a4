"""Rates, errors and percentiles of each route and upstream over the last seconds and minutes.

Made of the cumulative histograms of durations by reading them again and again; knows nothing of
who asks, nor when that is done (`sampler.py`). Times are Unix seconds in, milliseconds out.

A request has failed if its answer is 5xx or its histogram has an `error.type`, unless the error is
the client's own (`rate_limited`, `unauthenticated`, `forbidden`, `upgrade_refused`). A client that
went away has none.

A rate is that of the window: from the newest reading that is at least WINDOW old until the last
one. What was counted since the previous reading is in it, however short that was.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from operator import add, sub
from typing import Any, NamedTuple

from proxy.hub.splits import quantile
from proxy.telemetry.blocks import CLIENTS_ERRORS
from proxy.telemetry.instruments import CLIENT_DURATION, DURATIONS, SERVER_DURATION
from proxy.telemetry.metrics import Attributes, Point, Series

WINDOW = 5.0  # seconds
STEP = 0.95  # seconds that a point of the history covers at least
POINTS = 120  # of one history
REMEMBERED = 200  # routes that have a history: those that were active last; 5 kB each
MOST = 20_000  # routes that are counted
SHOWN = 1000  # routes in one view
NAMES = {SERVER_DURATION: "spangate.route", CLIENT_DURATION: "spangate.upstream"}

_ZEROS = (0,) * (len(DURATIONS) + 1)
_WIDTH = 5  # numbers in a point: time, rate, errors, p50, p99
_NONE = float("nan")  # in the place of a percentile of nothing


class Counted(NamedTuple):
    """Requests by bucket of time, and how many of them have failed."""

    buckets: tuple[int, ...] = _ZEROS
    failed: int = 0

    def plus(self, other: Counted) -> Counted:
        return Counted(tuple(map(add, self.buckets, other.buckets)), self.failed + other.failed)

    def since(self, before: Counted) -> Counted:
        """What has come to it; nothing if series were forgotten, so that it is less."""
        buckets = tuple(map(sub, self.buckets, before.buckets))
        if min(buckets) < 0 or self.failed < before.failed:
            return NOTHING
        return Counted(buckets, self.failed - before.failed)

    @property
    def requests(self) -> int:
        return sum(self.buckets)


NOTHING = Counted()
Names = dict[str, Counted]


class Reading:
    """What histograms say at one instant, summed by name; made series by series."""

    __slots__ = ("by_metric",)

    def __init__(self) -> None:
        self.by_metric: dict[str, Names] = {metric: {} for metric in NAMES}

    def add(self, one: Series) -> None:
        """Take a series; one of another metric is passed over."""
        names = self.by_metric.get(one.instrument.name)
        if names is None or not isinstance(one.value, Point):
            return
        name, is_failed = _who(one.attributes, NAMES[one.instrument.name])
        failed = sum(one.value.counts) if is_failed else 0
        counted = Counted(one.value.counts, failed)
        known = names.get(name)
        names[name] = counted if known is None else known.plus(counted)


def _who(attributes: Attributes, label: str) -> tuple[str, bool]:
    """The name, and whether these requests have failed."""
    name, error, status = "", "", 0
    for key, value in attributes:
        if key == label:
            name = str(value)
        elif key == "error.type":
            error = str(value)
        elif key == "http.response.status_code" and isinstance(value, int):
            status = value
    return name, status >= 500 or (bool(error) and error not in CLIENTS_ERRORS)


class Account:
    """One route or upstream."""

    __slots__ = ("counted", "failed", "hit", "points", "recent", "requests")

    def __init__(self) -> None:
        self.counted = NOTHING  # as it was read last
        self.requests = 0  # since the start
        self.failed = 0
        self.hit = 0.0  # the reading that last found more; 0 = none
        self.recent: deque[tuple[float, Counted]] = deque()  # what each reading found more
        self.points = array("d")

    def read(self, counted: Counted, now: float) -> bool:
        """Whether there is something new."""
        if counted == self.counted:
            return False
        more, self.counted = counted.since(self.counted), counted
        if not (requests := more.requests):
            return False
        self.requests += requests
        self.failed += more.failed
        self.hit = now
        self.recent.append((now, more))
        return True

    def since(self, begin: float) -> Counted:
        """What came after that reading."""
        found = NOTHING
        for at, more in self.recent:
            if at > begin:
                found = found.plus(more)
        return found

    def forget(self, until: float) -> None:
        while self.recent and self.recent[0][0] <= until:
            self.recent.popleft()

    def note(self, begin: float, now: float) -> None:
        """A point for what came since `begin`."""
        told = _told(self.since(begin), now - begin)
        self.points.extend([now * 1000, *(_NONE if x is None else x for x in told.values())])
        del self.points[: -POINTS * _WIDTH]


class History:
    """Of one gateway; `began` is when its counters were 0."""

    __slots__ = ("_accounts", "_closed", "_samples")

    def __init__(self, began: float) -> None:
        self._samples = deque([began])  # the first is where the window begins
        self._closed = began  # the last one that was made a point
        # By metric and name; those that were active last are at the end.
        self._accounts: dict[str, dict[str, Account]] = {metric: {} for metric in NAMES}

    def sample(self, series: Iterable[Series], now: float) -> None:
        """Read the histograms, in one go."""
        reading = Reading()
        for one in series:
            reading.add(one)
        for _ in self.take(reading, now):
            pass

    def take(self, reading: Reading, now: float) -> Iterator[None]:
        """A reading that was made at `now`, in steps; one that is no later than the last is passed
        over. Until the last step a view may have a part of it."""
        if now <= self._samples[-1]:
            return
        for metric, names in reading.by_metric.items():
            accounts = self._accounts[metric]
            for name, counted in names.items():
                account = accounts.get(name)
                if account is None:
                    account = accounts[name] = Account()
                if account.read(counted, now):
                    accounts[name] = accounts.pop(name)
                yield
            for name in list(accounts)[:-MOST]:
                del accounts[name]
        self._samples.append(now)
        while len(self._samples) > 2 and self._samples[1] <= now - WINDOW:
            self._samples.popleft()
        if now - self._closed >= STEP:
            yield from self._close(now)

    def _close(self, now: float) -> Iterator[None]:
        accounts = list(self._accounts[SERVER_DURATION].values())
        for account in accounts[-REMEMBERED:]:
            account.note(self._closed, now)
            yield
        for account in accounts[:-REMEMBERED]:
            if account.points:
                account.points = array("d")
        self._closed = now
        for found in self._accounts.values():
            for account in list(found.values()):
                account.forget(self._samples[0])
                yield

    def view(
        self, now_unix_ms: float, routes: Iterable[str] = (), points: int = POINTS
    ) -> Mapping[str, Any]:
        """For `/api/rates`: all that had requests and, as far as there is room, of the other
        `routes` too; the most active of late first, each with its last `points`."""
        length = max(1.0, self._samples[-1] - self._samples[0])
        served = dict(reversed(self._accounts[SERVER_DURATION].items()))
        sent = dict(reversed(self._accounts[CLIENT_DURATION].items()))
        for name in routes:
            if name not in served and len(served) < SHOWN:
                served[name] = Account()
        total, requests = NOTHING, 0
        for account in served.values():
            total = total.plus(account.since(self._samples[0])) if account.recent else total
            requests += account.requests
        return {
            "at_unix_ms": round(now_unix_ms, 3),
            "interval_s": round(length, 3),
            "total": {**_rounded(total, length), "requests": requests},
            "routes": (
                self._route(name, account, length, points)
                for name, account in list(served.items())[:SHOWN]
            ),
            "more": max(0, len(served) - SHOWN),
            "upstreams": (
                {
                    "upstream": name,
                    **_rounded(account.since(self._samples[0]), length),
                    "requests": account.requests,
                    "failed": account.failed,
                }
                for name, account in list(sent.items())[:SHOWN]
            ),
        }

    def _route(self, name: str, account: Account, length: float, points: int) -> dict[str, Any]:
        return {
            "route": name,
            **_rounded(account.since(self._samples[0]), length),
            "requests": account.requests,
            "failed": account.failed,
            "last_hit_unix_ms": round(account.hit * 1000, 3) if account.hit else None,
            "history": list(_points(account.points, points)),
        }


def _points(kept: array[float], most: int) -> Iterator[list[float | None]]:
    for i in range(max(0, len(kept) - most * _WIDTH), len(kept), _WIDTH):
        at, *numbers = kept[i : i + _WIDTH]
        yield [round(at, 3), *(round(x, 3) if x == x else None for x in numbers)]


def _told(counted: Counted, seconds: float) -> dict[str, float | None]:
    return {
        "rate": counted.requests / seconds,
        "errors": counted.failed / seconds,
        "p50_ms": _ms(quantile(counted.buckets, 0.5)),
        "p99_ms": _ms(quantile(counted.buckets, 0.99)),
    }


def _rounded(counted: Counted, seconds: float) -> dict[str, float | None]:
    told = _told(counted, seconds)
    return {key: value if value is None else round(value, 3) for key, value in told.items()}


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
