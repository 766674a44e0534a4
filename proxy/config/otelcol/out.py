"""Out: our tables as they come to be, with where each value stood in the collector's file."""

from __future__ import annotations

from typing import Any

from proxy.config.expand import Expanded
from proxy.config.locate import Path
from proxy.config.report import Report


class Out:
    """`raw` is what our own file would have said."""

    def __init__(self, report: Report) -> None:
        self.raw: dict[str, Any] = {}
        self.report = report

    def put(self, path: Path, value: Any, source: Path) -> None:
        """Say `value` at `path`; problems with it are told with the place of `source`."""
        table: dict[Any, Any] = self.raw
        for depth, step in enumerate(path[:-1], 1):
            table = table.setdefault(step, {})
            self.report.lines.alias(path[:depth], source)
        table[path[-1]] = value
        self._alias(path, value, source)

    def table(self, path: Path, source: Path) -> None:
        """An empty table, if there is none yet."""
        table: dict[Any, Any] = self.raw
        for depth, step in enumerate(path, 1):
            table = table.setdefault(step, {})
            if depth == len(path):
                self.report.lines.alias(path, source)

    def keys(self, value: Any, source: Path) -> dict[str, Any]:
        """`value` where it must be a table; nothing is an empty one."""
        if isinstance(value, dict):
            return value
        if value is not None:
            self.report.error(source, "expected a table")
        return {}

    def items(self, value: Any, source: Path) -> list[Any]:
        """`value` where it must be a list; nothing is an empty one."""
        if isinstance(value, list):
            return value
        if value is not None:
            self.report.error(source, "expected a list")
        return []

    def has(self, path: Path) -> bool:
        table: Any = self.raw
        for step in path:
            if not isinstance(table, dict) or step not in table:
                return False
            table = table[step]
        return True

    def _alias(self, path: Path, value: Any, source: Path) -> None:
        self.report.lines.alias(path, source)
        if isinstance(value, dict):
            for key, inner in value.items():
                self._alias((*path, key), inner, (*source, key))
        elif isinstance(value, list):
            for index, inner in enumerate(value):
                self._alias((*path, index), inner, (*source, index))


def like(text: str, source: object) -> str:
    """`text`, made of `source`: what came from outside the file stays marked, and hidden."""
    if not isinstance(source, Expanded):
        return text
    made = Expanded(text)
    made.written, made.secret, made.failed = source.written, source.secret, source.failed
    return made


def is_true(value: object) -> bool:
    """Also of what an environment variable said."""
    return value is True or (isinstance(value, str) and value.strip().lower() in ("true", "1"))


def without_nulls(value: Any) -> Any:
    """A key without a value is one that is left out."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value if inner is not None]
    return value
