"""Policies that know routes: slower than usual there, and at least so many a minute from each.

A route is a service with `http.route`, or with the name of a span by which the trace entered it.
Both are bounded in the number of routes, which a sender can make grow.
"""

from __future__ import annotations

from collections import OrderedDict

from proxy.collector.tail.quantile import Quantile
from proxy.collector.tail.trace import Route, Trace
from proxy.collector.tail.verdict import CERTAIN, Verdict

OTHER: Route = ("", "")  # routes beyond the bound share one count


class RouteLatency:
    """Keeps what is slower than its route's own quantile, once it has seen enough to know it."""

    __slots__ = ("_enough", "_known", "_most", "_share", "_window")
    threshold = CERTAIN

    def __init__(self, share: float, enough: int, window: int, most: int) -> None:
        self._share = share
        self._enough = enough
        self._window = window
        self._most = most
        self._known: OrderedDict[Route, Quantile] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def decide(self, trace: Trace, now: float) -> Verdict:
        slow = False
        for route, ns in trace.routes.items():
            if ns is None:
                continue
            usual = self._quantile(route)
            slow = slow or (len(usual) >= self._enough and usual.exceeded_by(ns))
            usual.add(ns)
        return Verdict.SAMPLED if slow else Verdict.NOT_SAMPLED

    def _quantile(self, route: Route) -> Quantile:
        found = self._known.get(route)
        if found is None:
            if len(self._known) >= self._most:
                self._known.popitem(last=False)
            found = self._known[route] = Quantile(self._share, self._window)
        else:
            self._known.move_to_end(route)
        return found


class PerRouteMinimum:
    """Keeps a trace while fewer than `least` of one of its routes were kept in this minute.

    Whatever policy kept them: `kept` is told of every trace that is.
    """

    __slots__ = ("_counts", "_least", "_minute", "_most")
    threshold = CERTAIN

    def __init__(self, least: int, most: int) -> None:
        self._least = least
        self._most = most
        self._counts: dict[Route, int] = {}
        self._minute = -1

    def __len__(self) -> int:
        return len(self._counts)

    def decide(self, trace: Trace, now: float) -> Verdict:
        self._turn(now)
        for route in trace.routes:
            if self._counts.get(self._place(route), 0) < self._least:
                return Verdict.SAMPLED
        return Verdict.NOT_SAMPLED

    def kept(self, trace: Trace, now: float) -> None:
        self._turn(now)
        for route in trace.routes:
            place = self._place(route)
            self._counts[place] = self._counts.get(place, 0) + 1

    def _turn(self, now: float) -> None:
        minute = int(now // 60)
        if minute != self._minute:
            self._minute = minute
            self._counts = {}

    def _place(self, route: Route) -> Route:
        return OTHER if len(self._counts) >= self._most and route not in self._counts else route
