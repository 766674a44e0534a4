"""Exporter `zipkin`: spans to Zipkin's v2 API as JSON.

Queue, retrying and the books are those of export_otlp; the translation is in `proxy.otlp`.
"""

from __future__ import annotations

from dataclasses import replace

from proxy.collector.context import Context
from proxy.collector.exporters.delivery import OtlpExporter, build
from proxy.collector.exporters.zipkin.send import ZipkinTransport
from proxy.collector.exporters.zipkin.settings import Settings
from proxy.otlp.endpoint import parse


def make(settings: Settings, context: Context) -> OtlpExporter:
    url = settings.endpoint
    endpoint = replace(parse(url), exact={"traces": url})
    return build(settings, endpoint, context, ZipkinTransport, pauses=False)
