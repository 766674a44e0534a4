"""The unary methods of OTLP/gRPC, by signal (opentelemetry-proto, `*_service.proto`)."""

METHODS = {
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "profiles": "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
}
SIGNALS = {method: signal for signal, method in METHODS.items()}
