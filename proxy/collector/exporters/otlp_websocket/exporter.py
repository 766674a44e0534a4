"""Exporter `otlp_websocket`: OTLP over WebSocket; the work is done in export_otlp."""

from __future__ import annotations

from proxy.collector.context import Context
from proxy.collector.exporters.delivery import OtlpExporter, build
from proxy.collector.exporters.otlp_websocket.settings import Settings
from proxy.otlp.endpoint import parse
from proxy.otlp.websocket_send import WebSocketTransport


def make(settings: Settings, context: Context) -> OtlpExporter:
    return build(settings, parse(settings.url), context, WebSocketTransport)
