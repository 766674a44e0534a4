"""What people write into the tables about telemetry and operation."""

from __future__ import annotations

from proxy.config.words.text import read

TRACING = read("""
endpoint otlp exporter exporters collector provider url zipkin jaeger otlp_endpoint opentelemetry
    write [export] otlp = <"grpc://localhost:4317">
sample_rate sampling sampling_rate ratio probability rate random_sampling sampler_ratio percentage
client_sampling overall_sampling
    write sample = <0.1>: a share from 0 to 1
propagators propagation context formats format
    write extract = ["w3c", "b3"] (what is read) and inject = ["w3c"] (what is written)
service_name name
    write resource = { "service.name" = <"edge"> } at the top of the file
enabled on
    it is on; sampler = "never" switches it off
span_name operation_name operation
    a span is called by method and path template: leave it out
tags custom_tags attributes resource_attributes global_attributes
    write labels = { team = "shop" } at the top or on a route; from requests: [attributes]
headers capture_headers captured_request_headers
    write request_headers = ["x-tenant"] or response_headers
trusted_ips trusted
    write trust = <["10.0.0.0/8"]>
""")

EXPORT = read("""
endpoint url collector otlp_endpoint address grpc http otlp_grpc otlp_http target
    write otlp = <"grpc://localhost:4317">
protocol insecure scheme encoding
    it is in the URL: grpc://host:4317, grpcs:// with TLS, http://host:4318, https://
interval push_interval
    write metrics_interval = <"15s">
service_name name
    write resource = { "service.name" = <"edge"> } at the top of the file
stdout debug
    write console = true
batch_size max_export_batch_size
    write batch_items = <8192>
batch_timeout schedule_delay
    write batch_age = <"500ms">
queue_size max_queue_size queue
    write queue_bytes = <"64MiB">
retry_on_failure
    write retry = { initial = "1s", max = "30s" }
api_key token
    write headers = { authorization = "Bearer ${TOKEN}" }
prometheus
    /metrics is on the [admin] port
""")

TLS = read("""
ca_file ca_cert cafile root_ca
    write ca = <"/etc/ssl/ca.pem">
cert_file certificate crt
    write cert = <"/etc/ssl/client.pem">
key_file private_key
    write key = <"/etc/ssl/client.key">
insecure enabled
    whether there is TLS is in the URL: grpc:// or grpcs://, http:// or https://
skip_verify verify insecure_skip_tls_verify
    write insecure_skip_verify = true
""")

ADMIN = read("""
port address bind host api_addr access_addr socket_address addr
    write listen = <"127.0.0.1:9901">
enabled disabled off
    write listen = "" for no admin port
user users password auth basic_auth
    it has no users: keep it on listen = "127.0.0.1:9901"; `token` guards changes
bearer_token secret api_key
    write token = <"${file:/run/secrets/admin}">
access_log_path access_log
    write [access_log] stdout = true
path prefix
    its paths are fixed: /live, /ready, /metrics, /config, /stats, /upstreams
""")

ACCESS_LOG = read("""
format fields level
    write [log] format = "json", level = "info"
path file file_path filename output access_log_path enabled on console
    write stdout = true: a line on stdout for each request
off disabled
    write stdout = false, and otlp = false
""")

LOG = read("""
file path output destination stdout stderr filename
    it is on stderr, and access lines on stdout: let whoever starts it write them to a file
json
    write format = "json"
verbosity loglevel log_level debug
    write level = "debug"
access access_log
    write [access_log] stdout = true
""")

METRICS = read("""
listen port address path prometheus endpoint enabled
    /metrics is on the [admin] port, always
interval
    write [export] metrics_interval = <"15s">
labels tags
    write labels = { env = "prod" } at the top or on a route
buckets
    buckets are those of the semantic conventions
""")

PIPELINE = read("""
receiver
    write receivers = <["otlp"]>
processor
    write processors = <["batch"]>
exporter
    write exporters = <["otlp"]>
connectors
    a connector stands among the exporters of one pipeline and the receivers of another
""")

COLLECTOR = read("""
service
    its pipelines are [collector.pipelines.traces]; there are no extensions (/live, /ready, /stats
    and /pipelines are on the [admin] port), and its telemetry is on /metrics there
pipeline
    write [collector.pipelines.traces] with `receivers` and `exporters`
extensions
    there are none: /live and /ready on the [admin] port are health_check, /stats and /pipelines
    zpages, a queue's `storage` is a directory
receiver
    write [collector.receivers.ID]
processor
    write [collector.processors.ID]
exporter
    write [collector.exporters.ID]
connector
    write [collector.connectors.ID]
telemetry
    the collector's own metrics are on /metrics of the [admin] port
""")
