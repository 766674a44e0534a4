"""What people write into a route who know another gateway.

Directives of nginx and Caddy, labels of Traefik, fields of Envoy, keywords of HAProxy and Kong.
"""

from __future__ import annotations

from proxy.config.words.text import read

ROUTE = read("""
proxy_pass reverse_proxy url uri_target backend_url forward_to destination target address server
upstream_url dial proxy_to
    write to = <"http://10.0.0.1:8000">, or the name of an [upstream.NAME]
upstream backend cluster service service_name use_backend default_backend backend_name
upstream_name cluster_name pool forward proxy
    write to = <"orders">: the name of an [upstream.NAME], or a URL such as "http://10.0.0.1:8000"
servers upstreams backends targets endpoints services nodes load_balancer
    list them in an upstream: [upstream.orders] servers = <["http://10.0.0.1:8000"]>; here
    to = "orders"
weight weights weighted weighted_clusters traffic_split
    shares are in `to`: to = { stable = 90, canary = 10 }
location match rule uri uris paths route url_path pattern
    write path: "/a" is exactly that, "/a/*" all below it, "/a/{id}" a segment, "~^/a[0-9]+$" a
    regular expression
prefix path_prefix path_beg path_separated_prefix
    write path = "/a/*": all of /a, whole segments
regex path_regex path_regexp path_reg safe_regex regexp
    write path = "~^/a[0-9]+$": `~` and a regular expression, one string
server_name server_names hosts domains domain hostname hostnames virtual_host virtual_hosts
authority host_regexp vhost
    write host = <"shop.example">; a list for several, "*.example.com" for all below
method methods allowed_methods limit_except
    write when = { method = <["GET"]> }
header header_match
    write when = { header = { x-beta = "1" } }; "*" is any value, "~regex" a regular expression
query query_params query_parameters args params
    write when = { query = { v = "2" } }
if acl acls condition conditions matchers matcher expression
    conditions are host, path and when = { method = …, header = …, query = … }
gzip compression encode brotli zstd deflate
    write compress = true, or { types = ["text/*"], min = "1KiB", with = ["zstd", "br", "gzip"] }
gzip_types gzip_min_length gzip_comp_level
    write compress = { types = ["text/*"], min = "1KiB" }
strip strip_prefix strip_path handle_path path_strip
    write rewrite = { strip = <"/api"> }
prefix_rewrite add_prefix replace_prefix
    write rewrite = { prefix = <"/v2"> }: it takes the place of what precedes /* in `path`
replace_path replace_path_regex regex_rewrite url_rewrite set_path path_rewrite uri_rewrite
rewrite_target set_uri
    write rewrite = { path = <"/v2/{id}"> }, with captures of `path`
return redir redirect_to redirect_regex redirect_url
    write redirect = { to = <"https://example.com/new">, status = 301 }
redirect_scheme https_redirect redirect_to_https force_https
    write redirect = { to = "https://example.com{path}" }
response direct_response static_response fixed_response status body return_status
content
    write respond = { status = 200, body = "text" }
proxy_set_header set_header header_up request_headers request_header set_headers
custom_request_headers request_headers_to_add add_request_headers add_headers request_transformer
request_headers_to_remove set_request_header http_request
    write headers.request.set = <{ x-team = "…" }>; `add` adds to what is there, `remove` =
    ["x-a"] takes away
add_header header_down response_headers response_header custom_response_headers
response_headers_to_add response_transformer response_headers_to_remove set_response_header
more_set_headers
    write headers.response.set = <{ x-team = "…" }>; `add` adds to what is there, `remove` =
    ["x-a"] takes away
proxy_hide_header hide_header hide_headers
    write headers.response.remove = ["x-powered-by"]
preserve_host pass_host_header host_rewrite host_rewrite_literal auto_host_rewrite upstream_host
    the client's Host is passed on by itself; for another one write host_header = "shop.example"
proxy_read_timeout read_timeout response_header_timeout server_timeout timeout_server
    write first_byte_timeout = <"60s"> (until the answer begins) and idle_timeout (without a byte)
proxy_send_timeout send_timeout write_timeout stream_idle_timeout timeout_tunnel keepalive_timeout
    write idle_timeout = <"60s">
proxy_connect_timeout dial_timeout timeout_connect
    write connect_timeout = <"5s">
request_timeout timeouts max_time deadline total_timeout
    write timeout = <"30s">
retries num_retries retry_policy retry_on attempts proxy_next_upstream lb_retries
proxy_next_upstream_tries lb_try_duration max_retries
    write retry = <2>, or retry = { times = 2, on = [502, 503] }
client_max_body_size max_request_body_bytes request_body max_body_size max_size
request_size_limiting body_size max_body
    write body_limit = <"20MiB">
health health_check healthcheck health_checks health_uri healthchecks
    it belongs to the upstream: [upstream.orders] health = <"/healthz">
balance lb_policy lb algorithm load_balancing
    it belongs to the upstream: write balance there, such as "least_request"
middleware middlewares plugin plugins filters http_filters typed_per_filter_config handle handler
handlers
    what a middleware, plugin or filter does is a key of the route here: rewrite, redirect,
    respond, headers, retry, body_limit
regex_priority
    there is no priority: the most specific route wins, then the order of the file
entry_points
    there is one set of routes for all of `listen`: tell them apart by host
listen bind
    it stands at the top of the file, above the first [table]: listen = <":8080">
id
    write name = <"orders">
description comment
    write a comment: # …
enabled disabled
    there is no switch: put # before the lines of a route that is not wanted
slos sla objective objectives error_budget service_level_objective service_level
    write slo = { availability = 0.999, latency = "300ms", quantile = 0.99 }
tags
    write labels = { team = "shop" }: on spans, metrics and logs
tracing
    write trace = { sample = 0.1 } or trace = { sampler = "never" }
sample
    write trace = { sample = <0.1> }
sampler
    write trace = { sampler = <"never"> }
sampling
    write trace = { sample = 0.1 }
buffering proxy_buffering proxy_request_buffering
    bodies stream through and are never held: there is nothing to switch off
flush_interval
    bodies stream through and are never held: there is nothing to flush
proxy_http_version
    it is HTTP/1.1 always, with connections that are kept
keepalive
    connections are kept: [upstream.orders] pool = { idle = 128 }
access_log log
    it is one for all: [access_log] stdout = true
protocols scheme
    routes take every request of `listen`: leave it out
timeout_ms
    write timeout = "500ms": durations carry their unit
per_try_timeout lb_try_timeout
    one try is bounded by connect_timeout and first_byte_timeout, all of them together by timeout
hash_policy
    it belongs to the upstream: write balance there, such as "least_request"
error_page errorfile errorfiles custom_errors handle_errors error_pages errorloc http_errors
local_reply_config error_document
    write errors = { pages = { "503" = <"/etc/spangate/503.html"> } }
proxy_intercept_errors intercept_errors
    write errors = { intercept = true, pages = { "5xx" = "/etc/spangate/5xx.html" } }
maintenance_mode
    write maintenance = true
""")
