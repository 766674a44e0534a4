"""Exporter `otlp_grpc`: OTLP over gRPC; the work is done in export_otlp."""

from __future__ import annotations

from proxy.collector.context import Context
from proxy.collector.exporters.delivery import OtlpExporter, build
from proxy.collector.exporters.otlp_grpc.settings import Settings
from proxy.otlp.endpoint import parse


def make(settings: Settings, context: Context) -> OtlpExporter:
    return build(settings, parse(settings.url), context)
