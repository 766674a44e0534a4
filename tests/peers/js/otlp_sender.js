// Sends two spans, a log record and two metrics by OpenTelemetry's SDK for JavaScript.
//
//     OTEL_EXPORTER_OTLP_ENDPOINT=… [OTEL_EXPORTER_OTLP_COMPRESSION=gzip] \
//         node tests/peers/js/otlp_sender.js grpc|http/protobuf|http/json
//
// The same as ../otlp_sender.py does. It fails if anything was not accepted.

import { SpanKind, SpanStatusCode, context } from "@opentelemetry/api";
import { SeverityNumber } from "@opentelemetry/api-logs";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { LoggerProvider, SimpleLogRecordProcessor } from "@opentelemetry/sdk-logs";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const PACKAGES = { grpc: "grpc", "http/protobuf": "proto", "http/json": "http" };
const protocol = process.argv[2];
const results = [];

// The SDK's exporter, which notes what each of its exports ended with.
async function exporter(signal, name) {
  const module = await import(`@opentelemetry/exporter-${signal}-otlp-${PACKAGES[protocol]}`);
  const made = new module[name]();
  const send = made.export.bind(made);
  made.export = (items, done) =>
    send(items, (result) => {
      results.push(result);
      done(result);
    });
  return made;
}

const resource = resourceFromAttributes({ "service.name": "peer" });
const traces = new NodeTracerProvider({
  resource,
  spanProcessors: [new BatchSpanProcessor(await exporter("trace", "OTLPTraceExporter"))],
});
traces.register();
const logs = new LoggerProvider({
  resource,
  processors: [
    new SimpleLogRecordProcessor({ exporter: await exporter("logs", "OTLPLogExporter") }),
  ],
});
const metrics = new MeterProvider({
  resource,
  readers: [
    new PeriodicExportingMetricReader({
      exporter: await exporter("metrics", "OTLPMetricExporter"),
    }),
  ],
});

const tracer = traces.getTracer("scope", "1.2");
const linked = { traceId: "ab".padStart(32, "0"), spanId: "cd".padStart(16, "0"), traceFlags: 1 };
tracer.startActiveSpan(
  "parent",
  { kind: SpanKind.SERVER, links: [{ context: linked }] },
  (span) => {
    span.setAttributes({ text: "Grüße", yes: true, number: -(2 ** 40), share: 0.25 });
    span.addEvent("happened", { n: 1 });
    logs.getLogger("scope", "1.2").emit({
      timestamp: [1_700_000_000, 123_000_000],
      severityNumber: SeverityNumber.WARN,
      severityText: "WARN",
      body: "it broke",
      attributes: { n: 1 },
      context: context.active(),
    });
    const child = tracer.startSpan("child", { kind: SpanKind.CLIENT });
    child.setStatus({ code: SpanStatusCode.ERROR, message: "it broke" });
    child.end();
    span.end();
  },
);
const meter = metrics.getMeter("scope", "1.2");
meter.createCounter("orders", { unit: "{order}" }).add(3, { kind: "a" });
meter.createHistogram("wait", { unit: "s" }).record(1.5, { kind: "a" });
for (const provider of [traces, logs, metrics]) await provider.shutdown();
if (results.length < 3 || results.some((result) => result.code !== 0)) {
  console.error("not accepted:", results);
  process.exit(1);
}
