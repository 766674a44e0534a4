"""What to do about each kind of finding, for the frameworks that most services use."""

from __future__ import annotations

from proxy.recent import findings as kinds

_CLIENTS = (
    "OpenTelemetry: instrument the HTTP client that makes the call. Python: "
    "opentelemetry-instrumentation-requests, -httpx or -aiohttp-client (a session that was made "
    "before instrument() is not covered); Java: the agent, or its library for your client; "
    "Node: @opentelemetry/instrumentation-undici (fetch) or -http, loaded before the client; "
    "Go: otelhttp.NewTransport, and pass ctx by http.NewRequestWithContext; .NET: "
    "AddHttpClientInstrumentation. "
)
_COPY = (
    "Without an SDK: copy traceparent, tracestate and baggage of the request that is served to "
    "every request that it makes. "
)
_QUEUES = (
    "Where work passes a queue, a thread pool or a callback, carry the context along: Python "
    "contextvars.copy_context().run(), Java Context.current().wrap(), Node "
    "AsyncLocalStorage.bind(), Go the ctx itself; in messages as headers (propagate.inject)."
)

REMEDIES: dict[str, str] = {
    kinds.DROPPED: _CLIENTS + _COPY + _QUEUES,
    kinds.RESTARTED: (
        "The service makes calls in traces of its own although it was given one. Instrument its "
        "server side too, so that the context that comes is extracted (Python: "
        "opentelemetry-instrumentation-flask, -fastapi, -django, -aiohttp-server; Java agent; "
        "Node: instrumentation-http; Go: otelhttp.NewHandler; .NET: "
        "AddAspNetCoreInstrumentation), set OTEL_PROPAGATORS=tracecontext,baggage, and do not "
        "start spans with an empty context or new_root. " + _QUEUES
    ),
    kinds.CORRUPTED: (
        "traceparent must be 00-<32 lower-case hex digits>-<16>-<2>, once, unchanged in case and "
        "length. Let a propagator write it (propagate.inject, W3CTraceContextPropagator, "
        "propagation.TraceContext) and not a format string; look for ids printed as numbers, "
        "upper case, quotes, and a header that is added twice."
    ),
    kinds.FLAG: (
        "Follow the caller's decision: OTEL_TRACES_SAMPLER=parentbased_always_on or "
        "parentbased_traceidratio (not traceidratio or always_off), in code ParentBased(...); "
        "copy the last two digits of traceparent as they are."
    ),
    kinds.STATE: (
        "Copy tracestate together with traceparent. OpenTelemetry's propagator tracecontext does "
        "(OTEL_PROPAGATORS=tracecontext,baggage); in code of your own pass the header on, or "
        "span_context.trace_state when a SpanContext is made anew."
    ),
    kinds.BAGGAGE: (
        "OTEL_PROPAGATORS=tracecontext,baggage (baggage is not part of tracecontext); in code: "
        "CompositePropagator with the W3C baggage propagator (Go: propagation.Baggage{}), or "
        "copy the header baggage. If it is left out on purpose, say so on the gateway: "
        "propagate = { baggage = false }."
    ),
    kinds.B3: (
        "The service was sent W3C headers and answers in B3. OTEL_PROPAGATORS=tracecontext,"
        "baggage (b3 may stand behind them while others need it); Spring: "
        "management.tracing.propagation.type=w3c; Brave, Zipkin clients: their W3C propagation; "
        "Istio: meshConfig."
    ),
    kinds.TRUNCATED: (
        "The service keeps 64 bits of the trace id. Use 128-bit ids: Brave/Spring "
        "traceId128Bit(true) (spring.sleuth.trace-id128=true), Jaeger clients "
        "JAEGER_TRACEID_128BIT=true, Datadog DD_TRACE_128_BIT_TRACEID_GENERATION_ENABLED=true; "
        "store ids as text of 32 digits, not as 64-bit integers."
    ),
    kinds.SKEW: (
        "Synchronise the clock of its host (chrony or systemd-timesyncd; chronyc tracking shows "
        "the offset); in containers it is the host's. Until then its spans are shown beside the "
        "calls that they belong to."
    ),
    kinds.MISSING: (
        "The service's spans do not arrive. Set OTEL_EXPORTER_OTLP_ENDPOINT (and _PROTOCOL) to "
        "the gateway's collector and OTEL_TRACES_EXPORTER=otlp, look for export errors in its "
        "log, flush on exit (tracer_provider.shutdown()), and use the parent's sampling decision "
        "(OTEL_TRACES_SAMPLER=parentbased_always_on). If it exports elsewhere, ignore this."
    ),
}
