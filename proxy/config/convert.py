"""From a parsed tree to the structs of the model, table by table and key by key.

msgspec stops at the first thing it dislikes; a user wants to see all of them. So tables and lists
are walked here and only single values are given to msgspec.
"""

from __future__ import annotations

import re
from functools import cache
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import msgspec

from proxy.config.expand import KEY, Expanded
from proxy.config.locate import Path
from proxy.config.report import Report, suggestion
from proxy.config.secrets import is_secret
from proxy.config.units import Seconds, Share, Size

FAILED: Any = None  # in the place of what could not be made; the report has an error for it

_WORDS = {
    "int": "a whole number",
    "str": "a string",
    "float": "a number",
    "bool": "true or false",
    "object": "a table",
    "array": "a list",
    "datetime": "a date",
}


class Converter:
    """Makes structs and remembers which of their strings came from outside the file."""

    __slots__ = ("_report", "expanded")

    def __init__(self, report: Report) -> None:
        self._report = report
        self.expanded: dict[Path, Expanded] = {}

    def struct(self, cls: Any, raw: Any, path: Path) -> Any:
        """An instance of `cls`; what is wrong in it is reported and left at its default."""
        if not isinstance(raw, dict):
            self._report.error(path, f"expected a table, got {_kind(raw)}")
            return FAILED
        fields = _fields(cls)
        for key in raw.keys() - fields.keys():
            self._unknown(key, path, fields.keys())
        values = {}
        for name, field in fields.items():  # `name` may be renamed: `from`, `not`
            if name in raw:
                value = self.value(field.type, raw[name], (*path, name))
                if value is not FAILED:
                    values[field.name] = value
            if field.required and field.name not in values:
                if name not in raw:
                    self._report.error(path, f"`{name}` is missing")
                return FAILED
        return cls(**values)

    def value(self, kind: Any, raw: Any, path: Path) -> Any:
        if isinstance(raw, Expanded) and raw.failed:
            self._report.fail(path)
            return FAILED
        kind, shape, args = _shape(kind)
        if shape is msgspec.Struct:
            return self.struct(kind, raw, path)
        if shape is list:
            return self._list(args[0], raw, path)
        if shape is dict:
            return self._dict(args, raw, path)
        return self._leaf(kind, raw, path)

    def _list(self, kind: Any, raw: Any, path: Path) -> Any:
        if not isinstance(raw, list):
            self._report.error(path, f"expected a list, got {_kind(raw)}")
            return FAILED
        # A failed element keeps its place, so that the others keep their index.
        return [self.value(kind, item, (*path, i)) for i, item in enumerate(raw)]

    def _dict(self, kinds: tuple[Any, ...], raw: Any, path: Path) -> Any:
        if not isinstance(raw, dict):
            self._report.error(path, f"expected a table, got {_kind(raw)}")
            return FAILED
        made = {}
        for key, item in raw.items():
            if isinstance(key, Expanded):
                if key.failed:
                    self._report.fail((*path, str(key)))
                    continue
                self.expanded[(*path, KEY, str(key))] = key
            name = self._leaf(kinds[0], str(key), (*path, str(key)))
            value = self.value(kinds[1], item, (*path, str(key)))
            if name is not FAILED and value is not FAILED:
                made[name] = value
        return made

    def _leaf(self, kind: Any, raw: Any, path: Path) -> Any:
        outside = isinstance(raw, Expanded)
        if outside:
            self.expanded[path] = raw
            raw = _number(str(raw)) if kind is Share else str(raw)
        try:
            return msgspec.convert(raw, kind, strict=not outside, dec_hook=_parse)
        except (msgspec.ValidationError, OverflowError) as error:
            message, remedy = _explain(kind, raw, str(error), hidden=is_secret(path))
            self._report.error(path, message, remedy)
            return FAILED

    def _unknown(self, key: str, path: Path, known: Any) -> None:
        self._report.error((*path, key), "unknown key", suggestion(key, known))


@cache  # msgspec resolves the annotations anew each time: 0.3 ms for Route
def _fields(cls: Any) -> dict[str, msgspec.structs.FieldInfo]:
    return {f.encode_name: f for f in msgspec.structs.fields(cls)}


@cache  # a type is taken apart once, not for each value of it
def _shape(kind: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    """(the type without None, Struct or list or dict or another, the types inside)."""
    kind = without_none(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind, msgspec.Struct, ()
    return kind, get_origin(kind), get_args(kind)


def _parse(kind: Any, raw: object) -> object:
    if kind in (Seconds, Size, Share):
        return kind.parse(raw)
    raise NotImplementedError(kind)


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def without_none(kind: Any) -> Any:
    """`X` of `X | None`: TOML has no null, so a key that is there has a value."""
    args = get_args(kind)
    rest = [arg for arg in args if arg is not NoneType]
    return rest[0] if NoneType in args and len(rest) == 1 else kind


def _explain(kind: Any, raw: object, message: str, *, hidden: bool) -> tuple[str, str]:
    """msgspec's complaint in the words of the file, and what to write instead."""
    if message.startswith("Invalid enum value"):
        choices = [str(choice) for choice in _choices(kind)]
        return f"{raw!r} is not one of {', '.join(choices)}", suggestion(str(raw), choices)
    if "matching regex" in message:
        return f"{raw!r} is not a name", "letters, digits, `_`, `.` and `-`, 63 at most"
    if not message.startswith("Expected"):
        return message, ""  # from a unit's parse, which says what to write
    text = "e" + re.sub(r"`(\w+)(?: \| \w+)*`", lambda m: _WORDS.get(m[1], m[0]), message[1:])
    if not _is_unquoted(message, raw):
        return text, ""
    return text, "write it in quotes" if hidden else f'write it in quotes: "{raw}"'


def _is_unquoted(message: str, raw: object) -> bool:
    return message.startswith("Expected `str`") and isinstance(raw, int | float)


def _choices(kind: Any) -> list[object]:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [choice for arg in get_args(kind) for choice in _choices(arg)]


def _kind(raw: object) -> str:
    names: dict[type, str] = {dict: "a table", list: "a list", Expanded: "a string"}
    name = type(raw).__name__
    return names.get(type(raw), _WORDS.get(name, name))
