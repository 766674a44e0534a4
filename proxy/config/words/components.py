"""What users of the OpenTelemetry Collector write into a component, where it is not called so here.

Most names are the same. What has another name and the same meaning is simply taken, see
`config/words/collector.py`; here is the rest. A key is looked for under its type
("exporters.otlp_grpc"), under its kind ("exporters"), and then in what all of them share.
"""

from __future__ import annotations

from proxy.config.words.text import read

_ALL = read("""
include_metadata metadata_keys metadata_cardinality_limit
    batches are not kept apart by what clients send along: leave it out
send_batch_max_size
    a batch is bounded in bytes: write send_batch_max_bytes = "3MiB"
max_recv_msg_size_mib max_request_body_size
    write max_request_size = <"64MiB">: one bound for gRPC and HTTP, decompressed
authenticator
    there are no extensions: write headers = { authorization = "Bearer ${TOKEN}" }
server_name_override server_name
    the certificate must be of the endpoint's own name
min_version max_version cipher_suites curve_preferences reload_interval tpm
include_system_ca_certs_pool
    TLS 1.2 and 1.3 with the interpreter's own choice of ciphers: leave it out
ca_pem cert_pem key_pem
    write it into a file and name that: ca, cert, key
read_buffer_size write_buffer_size max_concurrent_streams max_idle_conns max_idle_conns_per_host
max_conns_per_host idle_conn_timeout balancer_name wait_for_ready http2_read_idle_timeout
http2_ping_timeout disable_keep_alives
    connections take care of themselves: leave it out
proxy_url
    no proxy is used on the way to a back end
sizer
    the queue is bounded in bytes: queue_size = "64MiB"
block_on_overflow
    what does not fit is refused or dropped, and counted: leave it out
wait_for_result
    leave it out
batch
    write a processor: [collector.processors.batch]
multiplier
    each pause is twice the one before, up to max_interval: leave it out
randomization_factor
    pauses have jitter by themselves: leave it out
enabled
    there is always a queue, so that what is dropped is counted: leave it out
middlewares
    there are none: leave it out
ca_file
    write `ca`
cert_file
    write `cert`
key_file
    write `key`
""")

_RECEIVERS = read("""
endpoint
    write grpc = <":4317"> or http = ":4318"
auth
    write auth = { bearer = ["${TOKEN}"] } beside grpc and http
timeout
    leave it out
storage
    leave it out: nothing is held by a receiver
""")

_RECEIVERS_OTLP = read("""
protocols
    write grpc = "127.0.0.1:4317" and http = "127.0.0.1:4318"
traces_url_path
    paths are /v1/traces and so on: leave it out
metrics_url_path
    paths are /v1/metrics and so on: leave it out
logs_url_path
    paths are /v1/logs and so on: leave it out
""")

_RECEIVERS_PROMETHEUS = read("""
global
    write scrape_interval = "15s" beside scrape_configs
config
    write scrape_configs and scrape_interval here
bearer_token
    write authorization = { credentials = "${TOKEN}" }
target_allocator
    there is none: write targets or file_sd_configs
kubernetes_sd_configs dns_sd_configs consul_sd_configs
    write static_configs or file_sd_configs
""")

_EXPORTERS = read("""
auth
    there are no extensions: write headers = { authorization = "Bearer ${TOKEN}" }
insecure
    TLS is in the endpoint: "localhost:4317" is without, "grpcs://host:4317" with it
url
    write endpoint = <"http://localhost:4318">
endpoints
    write one exporter for each: "otlp_grpc/a", "otlp_grpc/b"
queue
    write sending_queue = { queue_size = "64MiB" }
retry
    write retry_on_failure = { max_elapsed_time = "5m" }
keepalive
    connections take care of themselves: leave it out
""")

_EXPORTERS_DEBUG = read("""
loglevel log_level
    write verbosity = "detailed"
use_internal_logger
    it writes to stderr: leave it out
""")

_EXPORTERS_OTLP_HTTP = read("""
profiles_endpoint
    profiles go to `endpoint`
protocol
    write encoding = "json" or "proto"
""")

_PROCESSORS_BATCH = read("""
send_batch_max_size max_batch_size
    a batch is bounded in bytes: write send_batch_max_bytes = "3MiB"
batch_size
    write send_batch_size = <8192>
""")

_PROCESSORS_MEMORY_LIMITER = read("""
ballast_size_mib
    there is no ballast: leave it out
limit
    write limit_mib = <400>
""")

_EXPORTER_TYPES = read("""
logging
    write `debug`
otlp_json
    write `otlp_http` with encoding = "json"
stdout
    write `console`, traces as trees, or `debug`
datadog splunk_hec signalfx sapm newrelic dynatrace honeycomb lightstep logzio coralogix
azuremonitor awsxray googlecloud sentry loki influxdb clickhouse
    write `otlp_http` with the OTLP endpoint of that service
nop
    leave the pipeline out
""")

_RECEIVER_TYPES = read("""
filelog syslog statsd fluentforward tcplog udplog journald k8s_cluster kubeletstats docker_stats
k8s_events redis postgresql mysql nginx mongodb rabbitmq sqlserver httpcheck awscloudwatch
    there is no such receiver yet: let an OpenTelemetry Collector send to `otlp`
prometheus_simple
    write `prometheus` with scrape_configs
opencensus
    write `otlp`: OpenCensus's clients can send it
nop
    write `gateway`
""")

_PROCESSOR_TYPES = read("""
k8sattributes k8s_attributes cumulativetodelta deltatocumulative groupbyattrs geoip routing
    there is no such processor yet
tailsampling
    write `tail_sampling`
probabilisticsampler
    write `probabilistic_sampler`
memorylimiter
    write `memory_limiter`
span
    write `transform` or `attributes`
metricstransform
    write `transform`
""")

_CONNECTOR_TYPES = read("""
count
    write `span_metrics`, which counts spans
""")

_OF = {
    "": _ALL,
    "receivers": _RECEIVERS,
    "receivers.otlp": _RECEIVERS_OTLP,
    "receivers.prometheus": _RECEIVERS_PROMETHEUS,
    "exporters": _EXPORTERS,
    "exporters.debug": _EXPORTERS_DEBUG,
    "exporters.otlp_http": _EXPORTERS_OTLP_HTTP,
    "processors.batch": _PROCESSORS_BATCH,
    "processors.memory_limiter": _PROCESSORS_MEMORY_LIMITER,
}

# Types of components that go by another name here, or have a stand-in.
TYPES = {
    "exporter": _EXPORTER_TYPES,
    "receiver": _RECEIVER_TYPES,
    "processor": _PROCESSOR_TYPES,
    "connector": _CONNECTOR_TYPES,
}


def word(place: str, name: str) -> str | None:
    """The hint for the key `name` of a component at `place`, "receivers.otlp" or below it."""
    kind, _, rest = place.partition(".")
    type_ = rest.partition(".")[0]
    for known in (f"{kind}.{type_}", kind, ""):
        if name in (words := _OF.get(known, {})):
            return words[name]
    return None
