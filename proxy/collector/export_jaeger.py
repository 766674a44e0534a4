"""Exporter `jaeger`: spans to Jaeger's collector by gRPC.

Queue, retrying and the books are those of export_otlp; the translation is in `proxy.otlp`.
"""

from __future__ import annotations

from proxy.collector.context import Context
from proxy.collector.export_otlp import OtlpExporter, build
from proxy.collector.settings.export_jaeger import Settings
from proxy.otlp.endpoint import parse
from proxy.otlp.jaeger_send import JaegerTransport


def make(settings: Settings, context: Context) -> OtlpExporter:
    return build(settings, parse(settings.url), context, JaegerTransport)
