"""From a parsed tree to the structs of the model, table by table and key by key.

msgspec stops at the first thing it dislikes; a user wants to see all of them. So tables and lists
are walked here and only single values are given to msgspec.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin

import msgspec

from proxy.config import (
    access_model,
    error_model,
    mesh_model,
    messaging_model,
    model,
    observe,
    rate_model,
    retry_model,
    see_model,
    source_model,
    split_model,
    upstream_model,
)
from proxy.config.expand import KEY, Expanded
from proxy.config.locate import Path
from proxy.config.report import Report
from proxy.config.section import Section
from proxy.config.units import Seconds, Share, Size

NAMED = (model.Config, model.Route)  # of these no two are alike
SHARED = 1000  # tables whose struct is another's too that says the same; all are immutable
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

    __slots__ = ("_made", "_report", "expanded")

    def __init__(self, report: Report) -> None:
        self._report = report
        self._made: dict[tuple[type, bytes], Any] = {}  # by what the table says
        self.expanded: dict[Path, Expanded] = {}

    def struct(self, cls: Any, raw: Any, path: Path) -> Any:
        """An instance of `cls`; what is wrong in it is reported and left at its default."""
        if not isinstance(raw, dict):
            return self._wrong(path, "a table", raw)
        said = None if cls in NAMED else _packed(raw)
        if said is None:
            return self._struct(cls, raw, path)
        if (known := self._made.get((cls, said))) is not None:
            return known
        before = self._report.found
        made = self._struct(cls, raw, path)
        if self._report.found == before and len(self._made) < SHARED:
            self._made[cls, said] = made
        return made

    def _struct(self, cls: Any, raw: dict[str, Any], path: Path) -> Any:
        fields = _fields(cls)
        for key in raw:
            if key not in fields:
                self._unknown(cls, key, raw[key], path)
        values = {}
        for name, field in fields.items():  # `name` may be renamed: `from`, `not`
            if name in raw:
                value = self.value(field.type, raw[name], (*path, name))
                if value is not FAILED:
                    values[field.name] = value
            if field.required and field.name not in values:
                if name not in raw and not self._report.is_foreign(path):
                    from proxy.config.words import shapes  # most files need none

                    self._report.error(path, f"`{name}` is missing", shapes.missing(path, name))
                return FAILED
        return cls(**values)

    def value(self, kind: Any, raw: Any, path: Path) -> Any:
        if isinstance(raw, Expanded) and raw.failed:
            self._report.fail(path)
            return FAILED
        kind, shape, args = _shape(kind)
        if shape is UnionType and (forms := forms_of(kind)):
            kind, shape, args = _shape(forms[0] if isinstance(raw, dict) else forms[1])
        if shape is msgspec.Struct:
            return self.struct(kind, raw, path)
        if shape is list:
            return self._list(args[0], raw, path)
        if shape is dict:
            return self._dict(args, raw, path)
        return self._leaf(kind, raw, path)

    def _list(self, kind: Any, raw: Any, path: Path) -> Any:
        if not isinstance(raw, list):
            return self._wrong(path, "a list", raw)
        # A failed element keeps its place, so that the others keep their index.
        return [self.value(kind, item, (*path, i)) for i, item in enumerate(raw)]

    def _dict(self, kinds: tuple[Any, ...], raw: Any, path: Path) -> Any:
        if not isinstance(raw, dict):
            return self._wrong(path, "a table", raw)
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
            self._report.elsewhere.add(path)
            raw = _number(str(raw)) if kind is Share else str(raw)
        try:
            return msgspec.convert(raw, kind, strict=not outside, dec_hook=_parse)
        except (msgspec.ValidationError, OverflowError) as error:
            message, remedy = _explain(kind, raw, str(error), path)
            self._report.error(path, message, remedy)
            return FAILED

    def _wrong(self, path: Path, wanted: str, raw: object) -> Any:
        if isinstance(raw, Expanded) and raw.failed:  # told already
            self._report.fail(path)
            return FAILED
        from proxy.config.words import shapes  # a long list, and most files need none

        remedy = (shapes.list_for if wanted == "a list" else shapes.table_for)(path, raw)
        self._report.error(path, f"expected {wanted}, got {_kind(raw)}", remedy)
        return FAILED

    def _unknown(self, cls: Any, key: str, value: object, path: Path) -> None:
        from proxy.config.words import hints  # long lists, and most files need none

        if cls.__module__.startswith("proxy.config."):
            remedy = hints.remedy(cls.__name__, key, value, _tables())
        else:
            place = ".".join(map(str, path[1:2])) + "." + _type_of(path)
            remedy = hints.of_component(place, key, value, _fields(cls).keys())
        self._report.unknown((*path, key), value, remedy)
        if cls is model.Config and not hints.is_closed(key):
            for deeper, told in hints.inside(value, (key,)):
                self._report.unknown(deeper, None, told)


def _packed(raw: dict[str, Any]) -> bytes | None:
    """None for what came from outside the file, which is noted by its place."""
    try:
        return msgspec.msgpack.encode(raw)
    except (TypeError, ValueError, OverflowError):
        return None


@cache  # msgspec resolves the annotations anew each time: 0.3 ms for Route
def _fields(cls: Any) -> dict[str, msgspec.structs.FieldInfo]:
    return {f.encode_name: f for f in msgspec.structs.fields(cls)}


@cache
def _tables() -> dict[str, tuple[str, ...]]:
    """Every table of the model, and its keys."""
    others = (
        access_model, upstream_model, retry_model, rate_model, split_model, error_model, see_model,
        mesh_model, source_model, messaging_model,
    )  # fmt: skip
    modules = (observe, model, *others)
    sections = {name: found for module in modules for name, found in vars(module).items()}.values()
    found = [s for s in sections if isinstance(s, type) and issubclass(s, Section)]
    return {table.__name__: tuple(_fields(table)) for table in found if table is not Section}


def _type_of(path: Path) -> str:
    """Of ("collector", "exporters", "otlp/2", …) the type, "otlp"."""
    return str(path[2]).partition("/")[0] if len(path) > 2 else ""


@cache  # a type is taken apart once, not for each value of it
def _shape(kind: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    """(the type without None, Struct or list or dict or another, the types inside)."""
    kind = without_none(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return kind, msgspec.Struct, ()
    return kind, get_origin(kind), get_args(kind)


@cache
def forms_of(kind: Any) -> tuple[Any, Any] | None:
    """(the table, what may stand instead of it) of `str | Table`; None for everything else."""
    args = get_args(kind)
    tables = [arg for arg in args if isinstance(arg, type) and issubclass(arg, msgspec.Struct)]
    if len(args) != 2 or len(tables) != 1:
        return None
    return tables[0], next(arg for arg in args if arg is not tables[0])


def _parse(kind: Any, raw: object) -> object:
    if kind in (Seconds, Size, Share):
        return _parse_text(kind, raw) if isinstance(raw, str) else kind.parse(raw)
    raise NotImplementedError(kind)


@lru_cache(1024)  # many tables say the same
def _parse_text(kind: Any, raw: str) -> object:
    return kind.parse(raw)


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


def _explain(kind: Any, raw: object, message: str, path: Path) -> tuple[str, str]:
    """msgspec's complaint in the words of the file, and what to write instead."""
    from proxy.config.words import shapes  # a long list, and most files need none

    if message.startswith("Invalid enum value"):
        choices = [str(choice) for choice in _choices(kind)]
        remedy = shapes.choice_for(path, raw, choices)
        return f"{raw!r} is not one of {', '.join(choices)}", remedy
    if "matching regex" in message:
        return f"{raw!r} is not a name", "letters, digits, `_`, `.` and `-`, 63 at most"
    if not message.startswith("Expected"):
        remedy = shapes.unit_for(path, raw, kind)  # else a unit's parse says what to write
        return message.partition(": write")[0] if remedy else message, remedy
    text = "e" + re.sub(r"`(\w+)(?: \| \w+)*`", lambda m: _WORDS.get(m[1], m[0]), message[1:])
    return text, shapes.value_for(path, raw, text.removeprefix("expected "))


def _choices(kind: Any) -> list[object]:
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    return [choice for arg in get_args(kind) for choice in _choices(arg)]


def _kind(raw: object) -> str:
    names: dict[type, str] = {dict: "a table", list: "a list", Expanded: "a string"}
    if isinstance(raw, bool):
        return str(raw).lower()
    name = type(raw).__name__
    return names.get(type(raw), _WORDS.get(name, name))
