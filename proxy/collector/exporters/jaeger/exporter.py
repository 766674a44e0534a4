"""Exporter `jaeger`: spans to Jaeger's collector by gRPC.

Queue, retrying and the books are those of export_otlp; the translation is in `proxy.otlp`.
"""

from __future__ import annotations

from proxy.collector.context import Context
from proxy.collector.exporters.delivery import OtlpExporter, build
from proxy.collector.exporters.jaeger.send import JaegerTransport
from proxy.collector.exporters.jaeger.settings import Settings
from proxy.otlp.endpoint import parse


def make(settings: Settings, context: Context) -> OtlpExporter:
    return build(settings, parse(settings.url), context, JaegerTransport, pauses=False)
