"""Sends one trace by OpenTelemetry's old Jaeger exporters, in an environment of their own.

    python tests/peers/jaeger_sender.py grpc|thrift_http|thrift_compact HOST PORT

Not imported by tests: it needs `opentelemetry-sdk==1.21.0 opentelemetry-exporter-jaeger-thrift==
1.21.0 opentelemetry-exporter-jaeger-proto-grpc==1.21.0 protobuf<4 deprecated setuptools<81`.
"""

from __future__ import annotations

import sys

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

LINKED = SpanContext(0xAB, 0xCD, is_remote=True, trace_flags=TraceFlags(1))


def exporter(protocol: str, host: str, port: int):  # type: ignore[no-untyped-def]
    if protocol == "grpc":
        from opentelemetry.exporter.jaeger.proto.grpc import JaegerExporter

        return JaegerExporter(collector_endpoint=f"{host}:{port}", insecure=True)
    from opentelemetry.exporter.jaeger.thrift import JaegerExporter as Thrift

    if protocol == "thrift_http":
        endpoint = f"http://{host}:{port}/api/traces?format=jaeger.thrift"
        return Thrift(collector_endpoint=endpoint)
    return Thrift(agent_host_name=host, agent_port=port)


def main(protocol: str, host: str, port: str) -> None:
    resource = Resource({"service.name": "old-app", "deployment.environment": "test"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(exporter(protocol, host, int(port))))
    tracer = provider.get_tracer("scope", "1.2")
    with tracer.start_as_current_span("parent", kind=SpanKind.SERVER, links=[Link(LINKED)]) as span:
        span.set_attribute("text", "Grüße")
        span.set_attribute("yes", True)
        span.set_attribute("number", -(2**40))
        span.set_attribute("share", 0.25)
        span.add_event("happened", {"n": 1})
        with tracer.start_as_current_span("child", kind=SpanKind.CLIENT) as child:
            child.set_status(Status(StatusCode.ERROR, "it broke"))
    provider.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
