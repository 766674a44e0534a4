"""[collector] as users of the OpenTelemetry Collector write it, where it means the same here.

    receivers.otlp.protocols.grpc.endpoint     receivers.otlp.grpc
    receivers.prometheus.config.…              the same keys without `config`
    receivers.hostmetrics.scrapers = { cpu }   a list of their names
    tls.ca_file, cert_file, key_file           tls.ca, cert, key
    tls.insecure                               the scheme of `endpoint`
    sending_queue.enabled = true               there is always a queue
    service.pipelines                          pipelines

What means something else is left where it is: the conversion tells what to write.
"""

from __future__ import annotations

from typing import Any

from proxy.config.expand import Expanded
from proxy.config.locate import Path
from proxy.config.report import Report

Raw = dict[str, Any]

# Where a protocol listens that has no endpoint, as in the Collector: not beyond this host.
_CUSTOMARY = {
    "grpc": {"otlp": "localhost:4317", "jaeger": "localhost:14250"},
    "http": {"otlp": "localhost:4318"},
    "thrift_http": {"jaeger": "localhost:14268"},
    "thrift_compact": {"jaeger": "localhost:6831"},
    "thrift_binary": {"jaeger": "localhost:6832"},
}
_FILES = {"ca_file": "ca", "cert_file": "cert", "key_file": "key", "client_ca_file": "client_ca"}


def translate(raw: Raw, report: Report) -> None:
    """Rewrite [collector] in place."""
    service = raw.get("service")
    if isinstance(service, dict) and "pipelines" in service and "pipelines" not in raw:
        raw["pipelines"] = service.pop("pipelines")
        report.lines.move(("collector", "pipelines"), ("collector", "service", "pipelines"))
        if not service:
            del raw["service"]
    for section in ("receivers", "exporters"):
        tables = raw.get(section)
        for id, table in tables.items() if isinstance(tables, dict) else ():
            if isinstance(table, dict):
                path: Path = ("collector", section, id)
                (_receiver if section == "receivers" else _exporter)(table, path, report)


def _receiver(table: Raw, path: Path, report: Report) -> None:
    type_ = str(path[2]).partition("/")[0]
    if isinstance(protocols := table.get("protocols"), dict):
        for name in [n for n in protocols if type_ in _CUSTOMARY.get(n, ())]:
            _protocol(table, protocols, name, path, report)
        if not protocols:
            del table["protocols"]
    _tls(table, path, report)
    if type_ == "prometheus" and isinstance(config := table.get("config"), dict):
        _scrapes(table, config, path, report)
    scrapers = table.get("scrapers")
    if isinstance(scrapers, dict) and not any(scrapers.values()):  # no settings of their own
        table["scrapers"] = list(scrapers)


def _protocol(table: Raw, protocols: Raw, name: str, path: Path, report: Report) -> None:
    """One of `protocols`: its endpoint and whatever else it has are keys of the receiver."""
    inner = protocols[name]
    written: Path = (*path, "protocols", name)
    if not isinstance(inner, dict) or name in table:
        return
    type_ = str(path[2]).partition("/")[0]
    table[name] = inner.pop("endpoint", _CUSTOMARY[name][type_])
    report.lines.alias((*path, name), (*written, "endpoint"))
    if inner.get("transport") == "tcp":
        del inner["transport"]
    for key, value in inner.items():
        if key not in table:  # what is unknown is told where it stands, as what it is called there
            table[key] = value
            report.lines.move((*path, key), (*written, key))
        elif table[key] != value:
            message = f"`{key}` is one for all protocols of a receiver"
            report.error((*written, key), message, f'write a second receiver: "{type_}/2"')
    del protocols[name]


def _scrapes(table: Raw, config: Raw, path: Path, report: Report) -> None:
    written: Path = (*path, "config")
    if isinstance(everywhere := config.get("global"), dict):
        for key in ("scrape_interval", "scrape_timeout"):
            if key in everywhere and key not in table:
                table[key] = everywhere.pop(key)
                report.lines.move((*path, key), (*written, "global", key))
        if not everywhere:
            del config["global"]
    if "scrape_configs" in config and "scrape_configs" not in table:
        table["scrape_configs"] = config.pop("scrape_configs")
        report.lines.move((*path, "scrape_configs"), (*written, "scrape_configs"))
    if not config:
        del table["config"]
    for i, job in enumerate(_list(table.get("scrape_configs"))):
        if isinstance(job, dict) and "tls_config" in job and "tls" not in job:
            job["tls"] = job.pop("tls_config")
            place: Path = (*path, "scrape_configs", i)
            report.lines.move((*place, "tls"), (*place, "tls_config"))
            _tls(job, place, report)


def _exporter(table: Raw, path: Path, report: Report) -> None:
    _tls(table, path, report)
    _insecure(table)
    queue = table.get("sending_queue")
    if isinstance(queue, dict) and queue.get("enabled") is True:
        del queue["enabled"]
    if isinstance(queue, dict) and queue.get("sizer") == "bytes":
        del queue["sizer"]


def _tls(table: Raw, path: Path, report: Report) -> None:
    tls = table.get("tls")
    if not isinstance(tls, dict):
        return
    for theirs, ours in _FILES.items():
        if theirs in tls and ours not in tls:
            tls[ours] = tls.pop(theirs)
            report.lines.move((*path, "tls", ours), (*path, "tls", theirs))


def _insecure(table: Raw) -> None:
    """`tls.insecure` of an endpoint without a scheme says what a scheme says here."""
    tls, endpoint = table.get("tls"), table.get("endpoint")
    if not isinstance(tls, dict) or not isinstance(tls.get("insecure"), bool):
        return
    bare = isinstance(endpoint, str) and "://" not in endpoint
    if tls.pop("insecure") or not bare or not isinstance(endpoint, str):
        return
    if isinstance(endpoint, Expanded):
        table["endpoint"] = endpoint.prefixed("grpcs://")
    else:
        table["endpoint"] = f"grpcs://{endpoint}"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
