"""Rules: what becomes of each key of a component's table. They are data; `Walk` carries them out.

    same                   the same key means the same here
    to("a", "b")           it is called a.b here, perhaps in another notation
    ignored("why")         it changes nothing here that matters: a warning
    silent                 it changes nothing at all
    refused("remedy")      it cannot be done: an error
    {…}                    a table with rules for its keys
    a function             (walk, value, source) -> None does it

A key without a rule is unknown, which is an error as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from proxy.config.locate import Path
from proxy.config.otelcol.out import Out, without_nulls
from proxy.config.report import Report, suggestion

Convert = Callable[[Any], Any]  # raises ValueError with what is wrong


@dataclass(frozen=True, slots=True)
class Move:
    """To another key; () = the same one."""

    path: tuple[str, ...] = ()
    convert: Convert | None = None


@dataclass(frozen=True, slots=True)
class Ignored:
    """`why` is told, unless it is empty."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    remedy: str
    message: str = "this is not there"


class Walk:
    """Carries rules out on one component. `target` is its table among ours."""

    __slots__ = ("defs", "id", "out", "report", "root", "target")

    def __init__(self, out: Out, root: dict[str, Any], id: str, target: Path) -> None:
        self.out = out
        self.report: Report = out.report
        self.root = root  # the whole file
        self.id = id
        self.target = target
        self.defs: dict[str, Any] = {}  # what rules tell one another

    def put(self, value: Any, source: Path, *key: str) -> None:
        self.out.put((*self.target, *key), value, source)

    def table(self, rules: Mapping[str, Any], raw: Any, source: Path, at: tuple[str, ...]) -> None:
        """Every key of `raw` by its rule; `at` is where the table's keys go below the target."""
        if raw is None:
            return
        if not isinstance(raw, dict):
            self.report.error(source, "expected a table")
            return
        for key, value in raw.items():
            self._key(rules, key, value, (*source, key), at)

    def _key(
        self, rules: Mapping[str, Any], key: str, value: Any, source: Path, at: tuple[str, ...]
    ) -> None:
        rule = rules.get(key)
        if rule is None:
            hint = suggestion(key, rules) or "leave it out"
            self.report.error(source, f"`{key}` is not known here", hint)
        elif isinstance(rule, Ignored):
            if rule.why and value is not None:
                self.report.warn(source, "this is ignored", rule.why)
        elif isinstance(rule, Refused):
            if value not in (None, False, {}, []):
                self.report.error(source, rule.message, rule.remedy)
        elif isinstance(rule, Move):
            self._move(rule, key, value, source, at)
        elif isinstance(rule, Mapping):
            self.table(rule, value, source, (*at, key))
        else:
            rule(self, value, source)

    def _move(self, rule: Move, key: str, value: Any, source: Path, at: tuple[str, ...]) -> None:
        if value is None:
            return
        try:
            made = without_nulls(value) if rule.convert is None else rule.convert(value)
        except (TypeError, ValueError) as error:
            self.report.error(source, str(error))
            return
        self.put(made, source, *(rule.path or (*at, key)))


same = Move()
silent = Ignored()


def to(*path: str, convert: Convert | None = None) -> Move:
    return Move(path, convert)


def ignored(why: str) -> Ignored:
    return Ignored(why)


def refused(remedy: str, message: str = "this is not there") -> Refused:
    return Refused(remedy, message)


def whole(value: Any, unit: str) -> str:
    """A number with its unit: 4 and "MiB" -> "4MiB"."""
    if isinstance(value, bool) or not str(value).strip().isdigit():
        raise ValueError("expected a whole number")
    return f"{str(value).strip()}{unit}"


def in_unit(unit: str) -> Convert:
    return lambda value: whole(value, unit)


def seconds(value: Any) -> str:
    return whole(value, "s")


def listed(value: Any) -> Any:
    """One text as a list of one; "a,b" as two."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return without_nulls(value)
