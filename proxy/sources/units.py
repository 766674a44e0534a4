"""Units: what a source keeps apart, such as a key or a file, each good or bad on its own.

A unit that cannot be used is left out, or stays as it was when it last was good, while the others
come into force. What is wrong with one may be known at once, from its form, or when all of them
together were refused for a reason that names its place.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from proxy.sources.source import Given

COLON = re.compile(":")
PATIENCE = 2  # refusals after which the others come first
NEWEST, HELD, ABSENT = range(3)  # what is given of a unit, from the best on


class Unit(msgspec.Struct, frozen=True):
    """Tables that stand at one place."""

    routes: Sequence[Mapping[str, Any]] = ()
    upstreams: Mapping[str, Mapping[str, Any]] = {}
    places: Mapping[tuple[str | int, ...], str] = {}  # within it; else the unit's place


class Units:
    """Those of one source, by their places as messages begin with them."""

    def __init__(self) -> None:
        self._newest: dict[str, Unit] = {}
        self._held: dict[str, Unit] = {}  # in force, as far as it is known
        self._level: dict[str, int] = {}  # of those that are not given as they are
        self._why: dict[str, str] = {}  # each begins with the place
        self._wrong: dict[str, object] = {}  # what stands there that means nothing
        self._renewed: set[str] = set()  # that have changed since they were given last
        self._is_stirred = False  # something has changed since it was looked at again
        self._refusals = 0  # since something was in force, which have left something out
        self._is_other = False  # something else is to be given of one than was given last
        self._count = 0  # of changes
        self._changed_at: dict[str, int] = {}  # by place, the last of these
        self._given: Given | None = None
        self._made: dict[str, Unit] = {}  # of which it was made
        self._settled: dict[str, Unit] = {}  # of which the one was made that was judged last
        # what is other in those that followed it, by their marks; None = it is not there
        self._since: dict[int, dict[str, Unit | None]] = {}

    def __contains__(self, place: str) -> bool:
        return place in self._newest or place in self._why

    def places(self) -> set[str]:
        return {*self._newest, *self._why}

    def put(self, place: str, unit: Unit) -> None:
        """A unit that is new or has changed."""
        before = self._newest.get(place)
        self._newest[place] = unit
        if before == unit and self._level.get(place, NEWEST) != HELD:
            return
        if before != unit:
            self._renewed.add(place)
            self._touch(place)
        if self._wrong.pop(place, None) is not None or self._refusals < PATIENCE:
            self._set(place, NEWEST)
        self._is_stirred = True

    def wrong(self, place: str, why: str, value: object = None) -> None:
        """A unit that is there and means nothing: it stays as it was. `value`: what tells it from
        others that mean nothing."""
        if self._wrong.get(place) != (why, value):
            self._renewed.add(place)
        self._wrong[place] = (why, value)
        self._newest.pop(place, None)
        self._set(place, HELD)
        self._why[place] = f"{place}: {why}"

    def drop(self, place: str) -> None:
        """A unit that is gone."""
        if self._newest.pop(place, None) is not None:
            self._is_stirred = True
        for known in (self._held, self._level, self._why, self._wrong, self._changed_at):
            known.pop(place, None)
        for made in (self._made, self._settled):  # what was there before does not come back
            made.pop(place, None)
        for changed in self._since.values():
            changed.pop(place, None)
        self._renewed.add(place)

    def keep(self, places: Iterable[str]) -> None:
        """All others are gone."""
        for place in self.places() - set(places):
            self.drop(place)

    def given(self, version: str) -> Given:
        """All of them, as far as they can be used. What was refused is looked at again after any
        change, but not again and again before the others are in force: changes that follow each
        other closely would keep them away."""
        if self._may_look_again:
            self._look_again()
        made: dict[str, Unit] = {}
        for place in sorted(self.places()):
            unit = self._at(place)
            if unit is not None:
                made[place] = unit
        found = _joined(version, made, self._why, self._renewed)
        self._count += 1
        self._given = msgspec.structs.replace(found, mark=self._count)
        self._since[self._count] = _changes(self._made, made)
        self._made = made
        self._renewed, self._is_other = set(), False
        return self._given

    def settled(self, given: Given, reasons: Sequence[str]) -> bool:
        """What became of what was given; whether to give again, for some are left out now. That is
        `is_due` where it was not the last that was given: what has changed since is not judged."""
        is_newest = given is self._given
        self._settle(given.mark)
        if not reasons:
            self._take()
            return False
        blamed: dict[str, str] = {}
        for reason in reasons:
            place = self._blamed(reason, self._made if is_newest else self._newest)
            if place and (is_newest or self._is_as_in(given, place)):
                blamed.setdefault(place, reason)
        for place, reason in blamed.items():
            self._why.setdefault(place, reason)
            self._set(place, self._below(place))
        if is_newest or blamed:
            self._refusals = self._refusals + 1 if blamed else 0
        self._is_other = bool(blamed)
        return is_newest and self._is_other

    @property
    def is_due(self) -> bool:
        """Whether to give again: some are left out now or stay as they were, or what was refused
        may be good now."""
        return self._is_other or self._may_look_again

    @property
    def _may_look_again(self) -> bool:
        return self._is_stirred and self._refusals < PATIENCE

    def _settle(self, mark: int) -> None:
        """The one of this mark was judged; those before it were passed over."""
        for past in [one for one in self._since if one <= mark]:
            for place, unit in self._since.pop(past).items():
                if unit is None:
                    self._settled.pop(place, None)
                else:
                    self._settled[place] = unit

    def _take(self) -> None:
        """What was judged last is in force. What stays as it was may be other than was known when
        others followed."""
        self._refusals = 0
        self._held = dict(self._settled)
        held = [place for place, level in self._level.items() if level == HELD]
        self._is_other = any(self._at(place) != self._made.get(place) for place in held)

    def _is_as_in(self, given: Given, place: str) -> bool:
        return self._changed_at.get(place, 0) <= given.mark

    def _touch(self, place: str) -> None:
        self._count += 1
        self._changed_at[place] = self._count

    def _set(self, place: str, level: int) -> None:
        """NEWEST = as it is."""
        self._touch(place)
        self._level[place] = level
        if level == NEWEST:
            del self._level[place]
            self._why.pop(place, None)

    def _at(self, place: str) -> Unit | None:
        level = self._level.get(place, NEWEST)
        return {NEWEST: self._newest, HELD: self._held}.get(level, {}).get(place)

    def _below(self, place: str) -> int:
        """What is tried next of a unit that was refused."""
        held = self._held.get(place)
        level = self._level.get(place, NEWEST)
        return HELD if level == NEWEST and held not in (None, self._newest.get(place)) else ABSENT

    def _blamed(self, reason: str, places: Container[str]) -> str:
        """The place that it begins with, "" = none of these."""
        found = (reason[: at.start()] for at in COLON.finditer(reason))
        return max((place for place in found if place in places), key=len, default="")

    def _look_again(self) -> None:
        """What was refused beside what was there before may be good now."""
        self._is_stirred = False
        for place in [place for place in self._level if place in self._newest]:
            self._set(place, NEWEST)


def _changes(before: Mapping[str, Unit], now: Mapping[str, Unit]) -> dict[str, Unit | None]:
    found = {place: now.get(place) for place in {*before, *now}}
    return {place: unit for place, unit in found.items() if unit is not before.get(place)}


def _joined(
    version: str, units: Mapping[str, Unit], why: Mapping[str, str], renewed: Iterable[str]
) -> Given:
    routes: list[Mapping[str, Any]] = []
    upstreams: dict[str, Mapping[str, Any]] = {}
    places: dict[tuple[str | int, ...], str] = {}
    left_out = [reason for _, reason in sorted(why.items())]
    for place, unit in units.items():
        for i, route in enumerate(unit.routes):
            _note("route", i, len(routes), unit.places, place, places)
            routes.append(route)
        for name, upstream in unit.upstreams.items():
            if name in upstreams:
                other = places["upstream", name]
                left_out.append(f"{place}: upstream {name!r} is there already: {other}")
                continue
            upstreams[name] = upstream
            _note("upstream", name, name, unit.places, place, places)
    return Given(
        version,
        routes,
        upstreams,
        places=places,
        left_out=left_out,
        amiss=sorted(why),
        kept=[reason for place, reason in sorted(why.items()) if place in units],
        renewed=sorted(renewed),
    )


def _note(
    kind: str,
    before: str | int,
    now: str | int,
    within: Mapping[tuple[str | int, ...], str],
    place: str,
    places: dict[tuple[str | int, ...], str],
) -> None:
    places[kind, now] = within.get((kind, before), place)
    for path, said in within.items():
        if len(path) > 2 and path[:2] == (kind, before):
            places[(kind, now, *path[2:])] = said
