"""Extensions and `service.telemetry` of a collector: admin port, queues on disk, log, resource."""

from __future__ import annotations

from typing import Any

from proxy.config.locate import Path
from proxy.config.otelcol.out import Out, like

_LISTEN = ("admin", "listen")
_NOTHING = {
    "pprof": "there are no profiles of the process; see spangate.event_loop.lag in /metrics",
    "zpages": "see /pipelines and /stats of the admin port",
    "memory_ballast": "memory needs no ballast here",
    "k8s_observer": "nothing is discovered here",
    "docker_observer": "nothing is discovered here",
    "host_observer": "nothing is discovered here",
    "opamp": "send HUP after changing the file",
    "headers_setter": "write the headers of the exporter",
}
# They are looked at by what names them.
_NAMED = ("file_storage", "basicauth", "basic_auth", "bearertokenauth", "bearer_token_auth")


def translate_extensions(out: Out, raw: dict[str, Any], service: dict[str, Any]) -> None:
    """Those that `service.extensions` names."""
    names = service.get("extensions") or []
    tables = raw.get("extensions") or {}
    if not isinstance(names, list) or not isinstance(tables, dict):
        out.report.error(("service", "extensions"), "expected a list", "write [health_check]")
        return
    for index, name in enumerate(names):
        source: Path = ("service", "extensions", index)
        type_ = str(name).partition("/")[0]
        if not isinstance(name, str) or name not in tables:
            out.report.error(source, f"there is no extension {name!r}", "name it in `extensions`")
        elif type_ in ("health_check", "healthcheckv2"):
            place = ("extensions", name)
            _health_check(out, out.keys(tables[name], place), place)
        elif type_ in _NOTHING:
            out.report.warn(("extensions", name), f"{type_} is not there", _NOTHING[type_])
        elif type_ not in _NAMED:
            known = "health_check, file_storage, basicauth and bearertokenauth are"
            out.report.error(("extensions", name), f"{type_} is not there", known)


def _health_check(out: Out, table: dict[str, Any], source: Path) -> None:
    http = out.keys(table.get("http"), (*source, "http"))
    endpoint = table.get("endpoint") or http.get("endpoint")
    out.put(_LISTEN, endpoint or "localhost:13133", source)
    for key in table:
        if key not in ("endpoint", "http"):
            why = "the admin port answers at /live and /ready, in clear"
            out.report.warn((*source, key), "this is ignored", why)


def translate_telemetry(out: Out, service: dict[str, Any]) -> None:
    for key, value in out.keys(service.get("telemetry"), ("service", "telemetry")).items():
        source: Path = ("service", "telemetry", key)
        if key in _TELEMETRY:
            _TELEMETRY[key](out, out.keys(value, source), source)
        else:
            out.report.warn(source, "this is ignored", "our own metrics are at /metrics")


_LEVELS = {"debug": "debug", "info": "info", "warn": "warning", "error": "error"}


def _logs(out: Out, table: dict[str, Any], source: Path) -> None:
    for key, value in table.items():
        place = (*source, key)
        if key == "level":
            level = _LEVELS.get(str(value).lower(), "info")
            out.put(("log", "level"), like(level, value), place)
        elif key == "encoding":
            out.put(("log", "format"), "json" if value == "json" else "text", place)
        elif key not in ("development", "sampling", "disable_caller", "disable_stacktrace"):
            out.report.warn(place, "this is ignored", "the log goes to stderr")


def _metrics(out: Out, table: dict[str, Any], source: Path) -> None:
    """Where the Collector would show its own metrics, the admin port does, unless it is taken."""
    for index, reader in enumerate(out.items(table.get("readers"), (*source, "readers"))):
        if isinstance(reader, dict) and isinstance(reader.get("periodic"), dict):
            _periodic(out, reader["periodic"], (*source, "readers", index))
    address, place = _metrics_address(table, source)
    if str(table.get("level", "")).lower() == "none" or not address:
        return
    if out.has(_LISTEN):
        why = f"the admin port is at {out.raw['admin']['listen']}, as health_check says"
        out.report.warn(place, "our own metrics are at /metrics of the admin port", why)
        return
    out.put(_LISTEN, address, place)


def _periodic(out: Out, reader: dict[str, Any], source: Path) -> None:
    """Our own metrics to a back end: the short form of an exporter."""
    otlp = out.keys(reader.get("exporter"), (*source, "exporter")).get("otlp")
    if not isinstance(otlp, dict) or not otlp.get("endpoint"):
        out.report.warn(source, "this is ignored", "otlp with an endpoint is known")
        return
    endpoint = str(otlp["endpoint"])
    scheme, separator, rest = endpoint.partition("://")
    if str(otlp.get("protocol", "http/protobuf")).startswith("grpc"):
        plain = scheme == "http" or otlp.get("insecure") is True
        endpoint = f"{'grpc' if plain else 'grpcs'}://{rest if separator else endpoint}"
    out.put(("export", "otlp"), [like(endpoint, otlp["endpoint"])], source)
    out.put(("export", "signals"), ["metrics"], source)
    if isinstance(reader.get("interval"), int):
        out.put(("export", "metrics_interval"), f"{reader['interval']}ms", source)


def _metrics_address(table: dict[str, Any], source: Path) -> tuple[Any, Path]:
    if table.get("address"):
        return table["address"], (*source, "address")
    readers = table.get("readers")
    for index, reader in enumerate(readers if isinstance(readers, list) else ()):
        found = reader
        for step in ("pull", "exporter", "prometheus"):
            found = found.get(step) if isinstance(found, dict) else None
        if isinstance(found, dict):
            host, port = found.get("host", "localhost"), found.get("port", 8888)
            return f"{host}:{port}", (*source, "readers", index)
    return None, source


def _resource(out: Out, table: dict[str, Any], source: Path) -> None:
    for key, value in table.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            shown = value if isinstance(value, str) else str(value)
            out.put(("resource", key), shown, (*source, key))


_TELEMETRY = {"logs": _logs, "metrics": _metrics, "resource": _resource}
