"""Components of the Collector that are not here, and what to do instead."""

from __future__ import annotations

_LOGS = "keep a collector that reads them, and let it send OTLP here"
_OTLP = "most back ends take OTLP: use otlp or otlphttp"
_KEEP = "keep a collector that does this, and let it send OTLP here"

MISSING: dict[str, str] = {
    **dict.fromkeys(
        (
            "filelog", "file_log", "syslog", "tcplog", "udplog", "fluentforward", "journald",
            "windowseventlog",
        ),
        _LOGS,
    ),
    **dict.fromkeys(
        (
            "k8s_cluster", "k8sobjects", "k8s_events", "kubeletstats", "docker_stats", "statsd",
            "redis", "mysql", "postgresql", "nginx", "httpcheck", "receiver_creator", "awsxray",
            "opencensus", "skywalking", "splunk_hec", "influxdb", "sqlquery", "snmp",
        ),
        _KEEP,
    ),
    **dict.fromkeys(
        (
            "loki", "opensearch", "datadog", "googlecloud", "awsxray", "awsemf",
            "awscloudwatchlogs", "azuremonitor", "splunk_hec", "signalfx", "sapm", "clickhouse",
            "honeycombmarker", "sentry", "coralogix", "tempo", "mezmo", "logzio", "influxdb",
        ),
        _OTLP,
    ),
    "loadbalancing": "send to one back end; or keep a collector in front",
    "nop": "leave it out, or write debug",
    **dict.fromkeys(
        ("k8sattributes", "k8s_attributes"),
        "let applications say k8s.* in OTEL_RESOURCE_ATTRIBUTES, or keep a collector",
    ),
    "span": 'use transform: set(span.name, Concat([…], " "))',
    "metricstransform": "use transform: set(metric.name, …)",
    "cumulativetodelta": "use a back end that takes cumulative sums",
    "deltatocumulative": "use the prometheus exporter, which adds deltas up",
    "metricsgeneration": "calculate it in the back end",
    "groupbyattrs": "leave it out: receivers keep resources apart",
    "interval": "use the batch processor",
    "logdedup": "leave it out",
    "schema": "use transform: set(…) and delete_key(…)",
    "routing": "use pipelines with filter: trace_conditions",
    "failover": "write two exporters; each has its own queue",
    "roundrobin": "write one exporter",
    "count": "use spanmetrics",
    "sum": "use spanmetrics",
    "exceptions": "use spanmetrics with dimensions",
    "signaltometrics": "use spanmetrics",
}  # fmt: skip
