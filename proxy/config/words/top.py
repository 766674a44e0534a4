"""What people write at the top of the file: sections of other programs, and keys of tables here."""

from __future__ import annotations

from proxy.config.words.text import read

TOP = read("""
routes location locations rules router virtual_hosts path paths
    write [[route]] for each, with `path` and what to do: to = "http://10.0.0.1:8000", `redirect`
    or `respond`
upstreams backend backends cluster clusters services service_upstream targets pools endpoints
    write [upstream.NAME] with servers = ["http://10.0.0.1:8000"]; routes name it: to = "NAME"
server servers vhost site sites apps
    its `listen` is listen = ":8080" at the top, its server_name `host` of a route, each location
    a [[route]]
port ports address bind bind_address entry_point entry_points listener listeners proxy_listen
listen_address http_port addr host
    write listen = <":8080"> at the top of the file
http tcp routers middlewares providers
    a router is [[route]] with `host`, `path` and `to`, a service is [upstream.NAME] with
    `servers`, a middleware is a key of the route
static_resources dynamic_resources filter_chains node bootstrap
    a listener is listen = ":8080", a virtual host `host` of a route, a route [[route]], a cluster
    [upstream.NAME]
frontend frontends
    its bind is listen = ":8080" at the top, each use_backend a [[route]] with `host`, `path` and
    `to`
receivers
    the collector's tables are below [collector]: write [collector.receivers.ID]
processors
    the collector's tables are below [collector]: write [collector.processors.ID]
exporters
    the collector's tables are below [collector]: write [collector.exporters.ID]
connectors
    the collector's tables are below [collector]: write [collector.connectors.ID]
pipelines
    write [collector.pipelines.traces] with `receivers` and `exporters`
extensions
    there are none: /live and /ready on the [admin] port are health_check, /stats and /pipelines
    zpages, a queue's `storage` is a directory
service
    pipelines are [collector.pipelines.traces]; this gateway's own name is resource = {
    "service.name" = "edge" }
worker_processes
    write workers = <2>; "auto" is one for each core
nbthread nbproc threads concurrency
    write workers = <2>
worker_connections maxconn max_connections
    write [limits] connections = <10000>: for each worker
events
    write [limits] connections = 10000: for each worker
global
    write workers at the top, and [limits] connections
client_max_body_size max_body_size body_limit body_size
    write [limits] body = <"20MiB">, or body_limit on a route
keepalive_timeout keepalive timeout_http_keep_alive
    write [limits] keepalive = <"75s">
error_page errorfile errorfiles custom_errors handle_errors error_pages errorloc http_errors
local_reply_config error_document
    write [errors] pages = { "503" = <"/etc/spangate/503.html"> }
proxy_intercept_errors intercept_errors
    write [errors] intercept = true, and pages = { "5xx" = "/etc/spangate/5xx.html" }
maintenance maintenance_mode
    write [errors] maintenance = true, or the path of a file that switches it on
keepalive_time max_connection_duration max_connection_age
    write [limits] connection_age = <"1h">
client_header_timeout header_timeout timeout_http_request read_header_timeout
    write [limits] header_timeout = <"10s">
large_client_header_buffers
    write [limits] head_bytes = "64KiB" and request_line = "8KiB"
client_body_timeout
    write [defaults] idle_timeout = <"60s">
timeout
    write [defaults] timeout = <"30s">, or on a route or upstream
connect_timeout
    write [defaults] connect_timeout = <"5s">, or on a route or upstream
first_byte_timeout
    write [defaults] first_byte_timeout = <"60s">, or on a route or upstream
idle_timeout
    write [defaults] idle_timeout = <"60s">, or on a route or upstream
timeouts read_timeout write_timeout proxy_read_timeout proxy_send_timeout
    write [defaults] first_byte_timeout = "60s" and idle_timeout = "60s"
proxy_connect_timeout timeout_connect dial_timeout
    write [defaults] connect_timeout = <"5s">
request_timeout timeout_server timeout_client
    write [defaults] timeout = <"30s">
retry retries
    write [defaults] retry = <2>, or on a route or upstream
graceful_shutdown graceful_timeout shutdown_timeout grace_period worker_shutdown_timeout
hard_stop_after
    write drain_timeout = <"25s">
admin_listen
    write [admin] listen = <"127.0.0.1:9901">
api
    write [admin] listen = "127.0.0.1:9901": health, metrics, configuration and books
dashboard
    write [admin] listen = "127.0.0.1:9901": a page of the pipelines is there
stats
    /stats is on the [admin] port: [admin] listen = "127.0.0.1:9901"
ping
    /live and /ready are on the [admin] port
health health_check
    /live and /ready are on the [admin] port; probes of servers are [upstream.NAME] health
prometheus
    /metrics is on the [admin] port; [metrics] bounds what is there
default_backend
    write [[route]] with to = <"orders">: without a `path` it takes what no other route does
default_route fallback
    write [[route]] with to = "http://10.0.0.1:8000": without a `path` it takes what no other
    route does
default
    write [defaults]
plugins
    what a plugin does is a key of the route: rewrite, redirect, respond, headers, retry,
    body_limit
reverse_proxy proxy_pass proxy
    write [[route]] with to = <"http://10.0.0.1:8000">
to
    write it into a [[route]]: to = <"http://10.0.0.1:8000">
respond
    write it into a [[route]]: respond = "text"
redirect
    write it into a [[route]]: redirect = "/new"
rewrite
    write it into a [[route]]: rewrite = { strip = "/api" }
headers
    write it into a [[route]]: headers.request.set = { x-team = "…" }
server_name
    write it into a [[route]]: host = <"shop.example">
set_real_ip_from trusted_proxies
    write [forwarding] trust = <["10.0.0.0/8"]>
trust
    write [tracing] trust and [forwarding] trust = <["10.0.0.0/8"]>
logging logs log_level loglevel
    write [log] level = "info" and format = "json"; a line for each request is
    [access_log] stdout = true
log_format
    write [log] format = <"json">: "text", "json" or "auto"
error_log
    errors go to stderr: leave it out
otlp
    write [export] otlp = <"grpc://localhost:4317">
opentelemetry otel
    write [export] otlp = "grpc://localhost:4317" and [tracing] sample = 0.1
otel_exporter exporter
    write [export] otlp = "grpc://localhost:4317"
telemetry
    write [export] otlp = "grpc://localhost:4317", [tracing] sample = 0.1, [metrics]
trace sampling
    write [tracing] sample = 0.1
sample
    write [tracing] sample = <0.1>
service_name name
    write resource = { "service.name" = <"edge"> }
include
    everything is in one file: leave it out
user
    it runs as whoever starts it (a systemd unit, a container): leave it out
pid daemon
    it stays in the foreground: leave it out
resolver
    names are looked up again by themselves: leave it out
env variables
    write ${NAME} where a value is wanted
version _format_version
    leave it out
mode
    it is HTTP: leave it out
option
    leave it out: X-Forwarded-For is sent, and health is a key of [upstream.NAME]
""")
