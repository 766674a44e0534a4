"""What must hold between the pipelines of [collector] and the components that they name."""

from __future__ import annotations

from proxy.config.collector import GATEWAY, ID, KINDS, RECENT, SIGNALS, find
from proxy.config.locate import Path
from proxy.config.observe import Collector, CollectorPipeline
from proxy.config.report import Report, suggestion

SECTIONS = tuple(f"{kind}s" for kind in KINDS)
PASSING = "forward"  # a connector that hands on what it gets, of the same signal


def check_collector(collector: Collector, report: Report) -> None:
    """Report references that lead nowhere, signals that do not fit, and what is never used."""
    _Check(collector, report).run()


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
        for id in self._collector.connectors:
            self._connector(id, ("collector", "connectors", id))
        self._unused()

    def _pipeline(self, name: str, pipeline: CollectorPipeline, path: Path) -> None:
        signal = name.partition("/")[0]
        if not ID.fullmatch(name) or signal not in SIGNALS:
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
        limiter = [
            i for i, p in enumerate(pipeline.processors) if p and _type(p) == "memory_limiter"
        ]
        if limiter and limiter[0] > 0:
            remedy = "what it refuses should cost nothing before"
            self._report.warn((*path, "processors"), "memory_limiter is not the first", remedy)

    def _reference(self, section: str, id: str, signal: str, path: Path) -> None:
        kind = section.removesuffix("s")
        if section != "processors" and id in self._collector.connectors:
            kind, section = "connector", "connectors"
        elif id not in getattr(self._collector, section) and (section, id) not in (
            ("receivers", GATEWAY),
            ("exporters", RECENT),
        ):
            broken = self._report.is_broken("collector", section, id)
            if not broken and not self._report.has_failed("collector", section):
                known = [*getattr(self._collector, section), *self._collector.connectors]
                remedy = suggestion(id, known) or f"add [collector.{section}.{id}]"
                self._report.error(path, f"there is no {kind} {id!r}", remedy)
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

    def _connector(self, id: str, path: Path) -> None:
        """It is the end of one pipeline and the beginning of another, or items are lost in it."""
        if self._report.is_broken(*path) or self._report.is_broken("collector", "pipelines"):
            return
        ends = self._signals_of("exporters", id)
        begins = self._signals_of("receivers", id)
        if ends and not begins:
            remedy = f'write receivers = ["{id}"] in the pipeline that takes what comes out'
            self._report.error(path, "no pipeline receives from it: what goes in is lost", remedy)
        elif begins and not ends:
            remedy = f'write exporters = ["{id}"] in the pipeline that feeds it'
            self._report.error(path, "no pipeline exports to it: nothing comes out", remedy)
        elif ends != begins and (component := find("connector", id)) and component.type == PASSING:
            message = f"{' and '.join(sorted(ends))} in, {' and '.join(sorted(begins))} out"
            remedy = "it hands on what it gets: name it in pipelines of the same signals"
            self._report.error(path, message, remedy)

    def _signals_of(self, side: str, id: str) -> set[str]:
        return {
            name.partition("/")[0]
            for name, pipeline in self._collector.pipelines.items()
            if isinstance(pipeline, CollectorPipeline) and id in getattr(pipeline, side)
        }

    def _unused(self) -> None:
        for section in SECTIONS:
            for id in getattr(self._collector, section):
                path = ("collector", section, id)
                if (section, id) not in self._used and not self._report.is_broken(*path):
                    self._report.warn(path, "no pipeline names it, so it is not started")


def _type(id: str) -> str:
    return id.partition("/")[0]
