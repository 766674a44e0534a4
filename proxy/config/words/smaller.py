"""What people write into listeners, conditions, and the tables that say what a route does."""

from __future__ import annotations

from proxy.config.words.text import read

LISTENER = read("""
port bind ip host listen addr socket_address
    write address = <":8080">
trusted_ips trusted_proxies forwarded_headers
    write trust = <["10.0.0.0/8"]>
reuseport reuse_port backlog
    it is done by itself: leave it out
http protocols
    write protocol = "http", which is HTTP/1.1 and HTTP/2 and the default
accept_proxy proxy proxy_protocol_v2 use_proxy_proto
    write proxy_protocol = true; whose header counts is said by trust = ["10.0.0.0/8"]
permissions socket_mode
    write mode = <"0660">
server_name hosts routes default_server
    routes are for all listeners: [[route]] host = <"shop.example">
""")

COMPRESS = read("""
codings encodings encoding algorithm algorithms formats format
    write with = <["zstd", "br", "gzip"]>, the best first
min_length minimum_length min_response_body_bytes min_content_length gzip_min_length min_size
    write min = "1KiB", a size
content_type content_types included_content_types mime_types gzip_types media_types
    write types = <["text/*", "application/json"]>
excluded_content_types
    name the types that are compressed: types = ["text/*", "application/json"]
level quality comp_level compression_level gzip_comp_level
    the level is chosen so that no other request waits for it: leave it out
default_encoding
    a client that says nothing gets answers as they are: leave it out
""")

WHEN = read("""
methods
    write method = <["GET"]>
headers
    write header = { x-beta = "1" }
queries query_params query_parameters params args
    write query = { v = "2" }
path paths prefix uri
    it is the route's own: path = <"/a/*">
host hosts
    it is the route's own: host = <"shop.example">
cookie cookies
    write header = { cookie = "~.*beta=1.*" }, a regular expression
ip source_ip client_ip remote_ip remote_addr src
    there is no condition on it: the route says allow = ["10.0.0.0/8"], or deny
any or
    write one route for each
all and
    all conditions of `when` must hold: write them side by side
not
    write a second route without the condition, or a regular expression: "~(?!beta$).*"
""")

REWRITE = read("""
strip_prefix strip_path remove
    write strip = <"/api">
prefix_rewrite add_prefix add
    write prefix = <"/v2">
to uri url target replace replacement substitution with
    write path = <"/v2/{id}">
regex pattern from match
    the route's path may be one: path = "~^/v(?P<n>[0-9]+)$", then rewrite = { path = "/{n}" }
""")

REDIRECT = read("""
url uri location target path permanent_to path_redirect host_redirect
    write to = <"https://example.com/new">
code status_code response_code
    write status = <301>
permanent
    write status = 301, or 308 to keep the method
https scheme https_redirect
    write to = "https://example.com{path}"
""")

RESPOND = read("""
code status_code
    write status = <200>
text content message string inline_string json
    write body = <"text">
content_type
    write headers = { content-type = "text/html" }
file filename
    there are no files here: write the text as body
""")

HEADERS = read("""
up upstream to_upstream requests
    write request = { set = { … } }
down downstream to_client responses
    write response = { set = { … } }
set add remove delete append replace custom_request_headers
    say towards whom: headers.request.set = { … } to the upstream, headers.response.set to the
    client
""")

HEADER_EDIT = read("""
delete del unset hide drop removes
    write remove = <["x-a"]>
append append_if_exists
    write add = { x-a = "…" }
replace overwrite put override
    write set = { x-a = "…" }
""")

LIMITS = read("""
body_size max_body max_body_size client_max_body_size body_limit max_request_body
    write body = <"20MiB">
max_connections maxconn worker_connections conns
    write connections = <10000>
keepalive_timeout idle_timeout
    write keepalive = <"75s">
client_header_timeout read_header_timeout
    write header_timeout = <"10s">
max_header_bytes max_headers header_size
    write head_bytes = <"64KiB">
timeout
    write [defaults] timeout = <"30s">
""")

FORWARDING = read("""
trusted_proxies trusted_ips trusted set_real_ip_from real_ip_from
    write trust = <["10.0.0.0/8"]>
x_forwarded_for xff forwardfor use_remote_address
    write x_forwarded = true
insecure
    write trust = ["0.0.0.0/0", "::/0"] to believe everybody
x_request_id generate_request_id
    write request_id = true
underscores_in_headers headers_with_underscores_action
    write underscores = "pass", "drop" or "reject"
""")

ERRORS = read("""
400 401 403 404 405 408 413 429 500 501 502 503 504 4xx 5xx error_page errorfile status_code
statuses html json text files
    write pages = { "503" = <"/etc/spangate/503.html"> }
proxy_intercept_errors intercept_errors
    write intercept = true
maintenance_mode
    write maintenance = true, or the path of a file that switches it on
""")

ERROR_PAGE = read("""
service backend use_backend cluster proxy_pass
    write upstream = <"pages">: the name of an [upstream.NAME]
query uri url rewrite
    write path = "/errors/{status}"
filename errorfile lf_file root
    write file = <"/etc/spangate/503.html">
content_type body body_format text_format json_format
    write html = "503.html", json = "503.json": files; what they are follows from the key
status code response
    an answer keeps the status that it has
""")

SLO = read("""
objective target goal success success_rate uptime
    write availability = 0.999, the share of requests that do not fail
error_rate errors error_budget
    write availability = 0.999: what is left of 1 may fail
threshold latency_threshold duration response_time max_latency
    write latency = <"300ms">
percentile percentiles p99
    write quantile = 0.99, the share of requests that `latency` is promised for
window period days time_window budget_window
    it is 30 days for all: leave it out
""")
