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
from proxy.config.observe import Collector, CollectorPipeline
from proxy.config.report import Report, suggestion

KINDS = ("receiver", "processor", "exporter", "connector")
SIGNALS = ("traces", "metrics", "logs", "profiles")
GATEWAY = "gateway"  # a receiver that needs no table

_ID = re.compile(r"[a-zA-Z][0-9a-zA-Z_]{0,62}(?:/[!-~]{1,1024})?")


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
    shape = {key: value for key, value in raw.items() if key not in _sections()}
    plain: Collector = converter.struct(Collector, shape, ("collector",)) or Collector()
    components = {
        section: _components(kind, raw.get(section, {}), converter, report)
        for kind, section in zip(KINDS, _sections(), strict=True)
    }
    collector = msgspec.structs.replace(plain, **components)
    _Check(collector, report).run()
    return collector


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
    if not _ID.fullmatch(id):
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


class _Check:
    """What must hold between pipelines and components."""

    def __init__(self, collector: Collector, report: Report) -> None:
        self._collector = collector
        self._report = report
        self._used: set[tuple[str, str]] = set()

    def run(self) -> None:
        for id in self._collector.connectors:
            for section in ("receivers", "exporters"):
                if id in getattr(self._collector, section):
                    path = ("collector", "connectors", id)
                    self._report.error(path, f"one of {section} has the same id", "rename it")
        for name, pipeline in self._collector.pipelines.items():
            if isinstance(pipeline, CollectorPipeline):
                self._pipeline(name, pipeline, ("collector", "pipelines", name))
        self._circles()
        self._unused()

    def _pipeline(self, name: str, pipeline: CollectorPipeline, path: Path) -> None:
        signal = name.partition("/")[0]
        if not _ID.fullmatch(name) or signal not in SIGNALS:
            remedy = f"write {', '.join(SIGNALS)}, or signal/name"
            self._report.error(path, f"{signal!r} is not a signal", remedy)
            return
        for key in ("receivers", "exporters"):
            if not getattr(pipeline, key) and not self._report.is_broken(*path, key):
                self._report.error((*path, key), f"a pipeline needs {key}", f'write {key} = ["…"]')
        for key in ("receivers", "processors", "exporters"):
            ids = getattr(pipeline, key)
            for i, id in enumerate(ids):
                if not self._report.is_broken(*path, key, i):
                    self._reference(key, id, signal, (*path, key, i))
                if id in ids[:i]:
                    self._report.error((*path, key, i), f"{id!r} is named twice")
        limiter = [i for i, p in enumerate(pipeline.processors) if _type(p) == "memory_limiter"]
        if limiter and limiter[0] > 0:
            remedy = "what it refuses should cost nothing before"
            self._report.warn((*path, "processors"), "memory_limiter is not the first", remedy)

    def _reference(self, section: str, id: str, signal: str, path: Path) -> None:
        kind = section.removesuffix("s")
        if section != "processors" and id in self._collector.connectors:
            kind, section = "connector", "connectors"
        elif id not in getattr(self._collector, section) and not (
            section == "receivers" and id == GATEWAY
        ):
            if not self._report.is_broken("collector", section, id):
                known = [*getattr(self._collector, section), *self._collector.connectors]
                self._report.error(path, f"there is no {kind} {id!r}", suggestion(id, known))
            return
        self._used.add((section, id))
        component = find(kind, id)
        if component is None:
            return
        out = kind == "connector" and path[-2] == "receivers"
        if signal not in (component.outputs if out else component.signals):
            self._report.error(path, f"{kind} {id!r} has no {signal}")

    def _circles(self) -> None:
        """Connectors must not lead back to where their items came from."""
        pipelines = self._collector.pipelines
        ways: dict[str, set[str]] = {}
        for name, pipeline in pipelines.items():
            for id in set(pipeline.exporters) & set(self._collector.connectors):
                ways[name] = ways.get(name, set()) | {
                    other for other, p in pipelines.items() if id in p.receivers
                }
        for name in ways:
            seen: set[str] = set()
            todo = list(ways[name])
            while todo:
                if (step := todo.pop()) not in seen:
                    seen.add(step)
                    todo += ways.get(step, ())
            if name in seen:
                path = ("collector", "pipelines", name)
                self._report.error(path, "connectors lead from this pipeline back to it")
                return

    def _unused(self) -> None:
        for section in _sections():
            for id in getattr(self._collector, section):
                path = ("collector", section, id)
                if (section, id) not in self._used and not self._report.is_broken(*path):
                    self._report.warn(path, "no pipeline names it, so it is not started")


def _type(id: str) -> str:
    return id.partition("/")[0]
