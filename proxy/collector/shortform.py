"""[export], the short form, as the pipelines that it stands for: gateway → batch → exporters.

Generated ids are not of the grammar that users write, so that they never meet theirs: an exporter
is called by its URL, which is also its name in the books.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Literal

import msgspec

from proxy.collector import parts
from proxy.collector.exporters.console.settings import Settings as Console
from proxy.collector.exporters.otlp_grpc import settings as export_otlp_grpc
from proxy.collector.exporters.otlp_http import settings as export_otlp_http
from proxy.collector.exporters.recent.settings import Settings as RecentSettings
from proxy.collector.processors.batch import settings as process_batch
from proxy.config.collector import RECENT
from proxy.config.observe import Collector, CollectorPipeline, Export
from proxy.config.see_model import Recent
from proxy.config.units import Size
from proxy.errors import ConfigError, Problem
from proxy.otlp.endpoint import Endpoint, parse
from proxy.otlp.transport import MAX_REQUEST

EXPORT = "export"
NOTHING_RECENT = Recent(size=Size(0))
BATCH = f"batch/{EXPORT}"


def lengthen(
    export: Export, collector: Collector | None, recent: Recent = NOTHING_RECENT
) -> Collector:
    """Both forms as one, and what keeps recent telemetry; raises ConfigError for URLs that cannot
    be used."""
    return _with_recent(_both(export, collector), recent)


def _with_recent(plan: Collector, recent: Recent) -> Collector:
    """What flows through the pipelines is kept too, and the gateway's own in any case.

    A receiver that some pipeline of the user's leads to `recent` is left to that: what is changed
    on that way must not be seen as it was.
    """
    if not recent.size:
        return plan
    pipelines: dict[str, CollectorPipeline] = {}
    for signal in ("traces", "logs"):
        of_signal = [p for n, p in plan.pipelines.items() if n.partition("/")[0] == signal]
        named = {
            r
            for p in of_signal
            if any(type_of(e) == RECENT for e in p.exporters)
            for r in p.receivers
        }
        receivers = dict.fromkeys(["gateway", *(r for p in of_signal for r in p.receivers)])
        left = [r for r in receivers if r not in named and r not in plan.connectors]
        if left:
            pipelines[_free(f"{signal}/{RECENT}", plan.pipelines)] = CollectorPipeline(
                left, [RECENT]
            )
    return msgspec.structs.replace(
        plan,
        exporters={RECENT: RecentSettings(), **plan.exporters},
        pipelines={**plan.pipelines, **pipelines},
    )


def _free(name: str, taken: Container[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _both(export: Export, collector: Collector | None) -> Collector:
    plan = collector or Collector()
    exporters: dict[str, Any] = {}
    pipelines: dict[str, CollectorPipeline] = {}
    for signal in export.signals:
        own = getattr(export, signal)
        key = signal if own else "otlp"
        names = _add(export, key, own or export.otlp, exporters, signal if own else "")
        if export.console and signal == "traces":
            exporters["console"] = Console()
            names.append("console")
        if names:
            pipelines[f"{signal}/{EXPORT}"] = CollectorPipeline(["gateway"], names, [BATCH])
    if not pipelines:
        return plan
    return msgspec.structs.replace(
        plan,
        exporters={**plan.exporters, **exporters},
        processors={**plan.processors, BATCH: _batch(export)},
        pipelines={**plan.pipelines, **pipelines},
    )


def type_of(id: str) -> str:
    """The component type of an id, generated ones too."""
    scheme, separator, _ = id.partition("://")
    if not separator:
        return id.partition("/")[0]
    return "otlp_grpc" if scheme.startswith("grpc") else "otlp_http"


def _add(
    export: Export, key: str, urls: list[str], exporters: dict[str, Any], exact: str
) -> list[str]:
    """Exporters for these URLs; returns their names, without doubles."""
    names: dict[str, None] = {}
    problems = []
    for index, url in enumerate(urls):
        try:
            endpoint = parse(url)
        except ValueError as error:
            problems.append(Problem(f"export.{key}[{index}]", str(error)))
            continue
        exporters.setdefault(endpoint.name, _exporter(export, url, endpoint, exact))
        names[endpoint.name] = None
    if problems:
        raise ConfigError(problems)
    return list(names)


def _exporter(export: Export, url: str, endpoint: Endpoint, exact: str) -> Any:
    retry = export.retry
    common: dict[str, Any] = {
        "tls": parts.TlsClient(**msgspec.structs.asdict(export.tls)),
        "headers": export.headers,
        "compression": export.compression,
        "timeout": export.timeout,
        "retry_on_failure": parts.Retry(True, retry.initial, retry.max, retry.elapsed),
        "sending_queue": parts.Queue(
            queue_size=export.queue_bytes,
            num_consumers=export.concurrency,
            storage=export.storage,
            storage_size=export.storage_size,
        ),
    }
    if endpoint.protocol == "grpc":
        return export_otlp_grpc.Settings(endpoint=url, **common)
    plain = url.replace("+json", "", 1)
    if exact:
        common[f"{exact}_endpoint"] = plain
    encoding: Literal["proto", "json"] = "json" if endpoint.protocol == "json" else "proto"
    return export_otlp_http.Settings(endpoint=plain, encoding=encoding, **common)


def _batch(export: Export) -> process_batch.Settings:
    size = min(export.batch_bytes or MAX_REQUEST, export.queue_bytes or MAX_REQUEST, MAX_REQUEST)
    return process_batch.Settings(
        timeout=export.batch_age,
        send_batch_size=export.batch_items,
        send_batch_max_bytes=Size(size),
    )
