"""A collector's file, as parsed, in the shape of ours: components, pipelines, service.

What has no equivalent is told by name: as an error where something would be missing, as a warning
where nothing is. Each component's keys are in `receivers`, `processors` and `exporters`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.config.collector import find
from proxy.config.locate import Path
from proxy.config.otelcol.exporters import EXPORTERS
from proxy.config.otelcol.extensions import translate_extensions, translate_telemetry
from proxy.config.otelcol.missing import MISSING
from proxy.config.otelcol.out import Out, without_nulls
from proxy.config.otelcol.processors import CONNECTORS, PROCESSORS
from proxy.config.otelcol.receivers import RECEIVERS
from proxy.config.otelcol.rules import Walk
from proxy.config.report import Report, suggestion

SECTIONS = {
    "receivers": ("receiver", RECEIVERS),
    "processors": ("processor", PROCESSORS),
    "exporters": ("exporter", EXPORTERS),
    "connectors": ("connector", CONNECTORS),
}
_TOP = (*SECTIONS, "extensions", "service")
_RENAMED = {("exporters", "logging"): "debug"}
# What the Collector has where the file says nothing, and we have not.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "otlp_grpc": {"compression": "gzip"},
    "otlp_http": {"compression": "gzip"},
    "file": {"append": False},
}


Expand = Callable[[Any, Path], Any]  # ${…} in a part of the file replaced


def translate(written: Any, report: Report, expand: Expand) -> dict[str, Any]:
    """Our tables; what is wrong with the file goes to the report.

    What no pipeline names is not expanded either: its variables need not be set.
    """
    out = Out(report)
    if not isinstance(written, dict):
        report.error((), "this is no collector's file", "it has receivers, exporters and service")
        return out.raw
    raw = {**written, "service": expand(written.get("service"), ("service",))}
    raw["extensions"] = _extensions(raw, expand)
    if "kind" in raw and "spec" in raw:
        remedy = "put what is below spec.config into a file of its own"
        report.error(("kind",), "this is a resource of Kubernetes", remedy)
        return out.raw
    for key in raw:
        if key not in _TOP:
            report.error((key,), f"`{key}` is not known here", suggestion(key, _TOP))
    service = _table(raw, "service", report)
    pipelines = _table(service, "pipelines", report, ("service", "pipelines"))
    if not pipelines:
        report.error(("service",), "there are no pipelines", "write service: {pipelines: …}")
    used = _used(pipelines)
    for section in SECTIONS:
        _section(out, raw, section, used, expand)
    for name, pipeline in pipelines.items():
        _pipeline(out, str(name), pipeline)
    translate_extensions(out, raw, service)
    translate_telemetry(out, service)
    for key in service:
        if key not in ("pipelines", "extensions", "telemetry"):
            report.error(("service", key), f"`{key}` is not known here", "leave it out")
    return out.raw


def _table(raw: dict[str, Any], key: str, report: Report, path: Path = ()) -> dict[str, Any]:
    found = raw.get(key)
    if found is not None and not isinstance(found, dict):
        report.error(path or (key,), "expected a table")
    return found if isinstance(found, dict) else {}


def _used(pipelines: dict[str, Any]) -> dict[str, set[str]]:
    """Ids that pipelines name, by section; connectors count in both of theirs."""
    used: dict[str, set[str]] = {section: set() for section in SECTIONS}
    for pipeline in pipelines.values():
        for section in ("receivers", "processors", "exporters"):
            ids = pipeline.get(section) if isinstance(pipeline, dict) else None
            used[section] |= {str(id) for id in (ids if isinstance(ids, list) else ())}
    used["connectors"] = used["receivers"] | used["exporters"]
    return used


def _extensions(raw: dict[str, Any], expand: Expand) -> Any:
    tables, service = raw.get("extensions"), raw["service"]
    names = service.get("extensions") if isinstance(service, dict) else None
    if not isinstance(tables, dict):
        return {}
    names = names if isinstance(names, list) else []
    return {
        name: expand(table, ("extensions", name)) if name in names else table
        for name, table in tables.items()
    }


def _section(
    out: Out, raw: dict[str, Any], section: str, used: dict[str, set[str]], expand: Expand
) -> None:
    kind, rules = SECTIONS[section]
    for id, table in _table(raw, section, out.report).items():
        source: Path = (section, id)
        if str(id) not in used[section]:
            out.report.warn(source, "no pipeline names it, so it is left out")
            continue
        type_ = id.partition("/")[0]
        component = find(kind, _RENAMED.get((section, type_), type_))
        if component is None or component.type not in rules:
            remedy = MISSING.get(type_) or suggestion(type_, rules)
            target = ("collector", section, renamed(section, str(id)))
            out.report.lines.alias(target, source)  # so that pipelines do not miss it once more
            out.report.error(target, f"there is no {kind} of type {type_!r}", remedy)
            continue
        table = expand(table, source)
        _component(out, raw, component.type, rules[component.type], source, table)


def _component(
    out: Out, raw: dict[str, Any], type_: str, rules: dict[str, Any], source: Path, table: Any
) -> None:
    section, written = str(source[0]), str(source[1])
    target = ("collector", section, renamed(section, written))
    walk = Walk(out, raw, written, target)
    walk.defs = {"raw": table if isinstance(table, dict) else {}}
    out.table(target, source)
    walk.table(rules, table, source, ())
    for key, value in _DEFAULTS.get(type_, {}).items():
        if not out.has((*target, key)):
            out.put((*target, key), value, source)


def renamed(section: str, id: str) -> str:
    """An id in our words: logging/x is debug/x."""
    type_, slash, name = id.partition("/")
    return _RENAMED.get((section, type_), type_) + slash + name


def _pipeline(out: Out, name: str, pipeline: Any) -> None:
    source: Path = ("service", "pipelines", name)
    target = ("collector", "pipelines", name)
    if not isinstance(pipeline, dict):
        out.report.error(source, "expected a table", "write receivers: [otlp]")
        return
    for key, ids in without_nulls(pipeline).items():
        if key not in ("receivers", "processors", "exporters"):
            out.report.error((*source, key), f"`{key}` is not known here", "leave it out")
        elif not isinstance(ids, list):
            out.report.error((*source, key), "expected a list", "write [otlp]")
        else:
            out.put((*target, key), [renamed(key, str(id)) for id in ids], (*source, key))
