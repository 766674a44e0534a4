"""The tables under [collector]: components by type, and the pipelines that name them.

Which types there are, and which settings each has, is known to `proxy.collector.registry`, a table
of names. It is looked up by name, since this package is below that one and every component's
settings follow from the file; only settings modules, which are light, are imported.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from proxy.config.convert import FAILED, Converter
from proxy.config.locate import Path
from proxy.config.observe import Collector
from proxy.config.report import Report, suggestion
from proxy.config.words.collector import translate

KINDS = ("receiver", "processor", "exporter", "connector")
SIGNALS = ("traces", "metrics", "logs", "profiles")
GATEWAY = "gateway"  # a receiver that needs no table
RECENT = "recent"  # an exporter that needs none

ID = re.compile(r"[a-zA-Z][0-9a-zA-Z_]{0,62}(?:/[!-~]{1,1024})?")


class Component(Protocol):
    """A row of the registry."""

    type: str
    aliases: tuple[str, ...]
    built: bool
    signals: tuple[str, ...]
    outputs: tuple[str, ...]

    def settings(self) -> Any: ...


def find(kind: str, id: str) -> Component | None:
    """The registry's row for a component id."""
    found: Component | None = _registry().find(kind, id.partition("/")[0])
    return found


def components(kind: str) -> list[Component]:
    """All of that kind that can be used."""
    return [c for c in _registry().COMPONENTS if c.kind == kind and c.built]


def read_collector(raw: Any, converter: Converter, report: Report) -> Collector | None:
    """[collector] as structs; None where the file has none. What is wrong goes to the report."""
    if raw is None:
        return None
    if not isinstance(raw, dict):
        return converter.struct(Collector, raw, ("collector",))  # type: ignore[no-any-return]
    translate(raw, report)
    shape = {key: value for key, value in raw.items() if key not in _sections()}
    plain: Collector = converter.struct(Collector, shape, ("collector",)) or Collector()
    components = {
        section: _components(kind, raw.get(section, {}), converter, report)
        for kind, section in zip(KINDS, _sections(), strict=True)
    }
    return msgspec.structs.replace(plain, **components)


def _sections() -> list[str]:
    return [f"{kind}s" for kind in KINDS]


def _registry() -> Any:
    return importlib.import_module("proxy.collector.registry")


def _components(kind: str, raw: Any, converter: Converter, report: Report) -> dict[str, Any]:
    base: Path = ("collector", f"{kind}s")
    if not isinstance(raw, dict):
        return converter.value(dict[str, Any], raw, base) or {}  # it is told there
    made = {}
    for id, table in raw.items():
        path = (*base, str(id))
        if (component := _known(kind, str(id), path, report)) is None:
            continue
        settings = converter.struct(component.settings(), table, path)
        if settings is not FAILED and not report.is_broken(*path):
            for key, message, remedy in _problems(settings):
                report.error((*path, *key), message, remedy)
        made[str(id)] = settings
    return made


def _known(kind: str, id: str, path: Path, report: Report) -> Component | None:
    if not ID.fullmatch(id):
        report.error(path, f"{id!r} is not a component id", 'write "type" or "type/name"')
        return None
    component = find(kind, id)
    names = _registry().names(kind)
    type_ = id.partition("/")[0]
    if component is None:
        from proxy.config.words import components  # long lists, and most files need none

        remedy = components.TYPES[kind].get(type_) or suggestion(type_, names)
        remedy = remedy or f"known: {', '.join(names)}"
        report.error(path, f"there is no {kind} of type {type_!r}", remedy)
    elif not component.built:
        report.error(path, f"the {kind} {type_!r} is not built yet", f"known: {', '.join(names)}")
        return None
    return component


def _problems(settings: Any) -> Iterable[tuple[tuple[str | int, ...], str, str]]:
    return settings.problems() if hasattr(settings, "problems") else ()
