"""Exporter `otlp_http`: OTLP over HTTP, protobuf or JSON; the work is done in export_otlp."""

from __future__ import annotations

from dataclasses import replace

from proxy.collector.context import Context
from proxy.collector.exporters.delivery import OtlpExporter, build
from proxy.collector.exporters.otlp_http.settings import Settings
from proxy.otlp.endpoint import parse


def make(settings: Settings, context: Context) -> OtlpExporter:
    url = settings.endpoint
    if settings.encoding == "json":
        url = url.replace("://", "+json://", 1)
    own = {
        "traces": settings.traces_endpoint,
        "metrics": settings.metrics_endpoint,
        "logs": settings.logs_endpoint,
    }
    exact = {signal: url for signal, url in own.items() if url}
    return build(settings, replace(parse(url), exact=exact), context)
