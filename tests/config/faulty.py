"""Fifty-odd files as users of other gateways and collectors would write them at first.

For each the text, and what `spangate check` must say about it, a line for each problem: line, key
and a part of what is told, the remedy. Beside these it says nothing.
"""

from __future__ import annotations

from typing import NamedTuple


class Faulty(NamedTuple):
    """One file, and what is told about it; both begin with a newline."""

    name: str
    text: str
    told: str


ORDERS = """
[upstream.orders]
servers = ["http://10.0.0.1:8000"]
"""

NGINX = [
    Faulty(
        "nginx.conf itself",
        """
server {
    listen 8080;
    location /api/ {
        proxy_pass http://10.0.0.1:8000;
    }
}
""",
        """
1 syntax: its `listen` is listen = ":8080" at the top, its server_name `host` of a route,
""",
    ),
    Faulty(
        "nginx location and proxy_pass",
        """
listen = 8080
[[route]]
location = "/api/"
proxy_pass = "http://10.0.0.1:8000/"
proxy_read_timeout = "30s"
proxy_set_header = { X-Real-IP = "$remote_addr" }
""",
        """
3 route[0].location: write path = "/api/*"
4 route[0].proxy_pass: write to = "http://10.0.0.1:8000", or the name of an [upstream.NAME]
5 route[0].proxy_read_timeout: write first_byte_timeout = "30s" (until the answer begins) and
6 route[0].proxy_set_header: write headers.request.set = { X-Real-IP = "…" }; `add` adds to
""",
    ),
    Faulty(
        "nginx server and upstream blocks",
        """
worker_processes = "auto"
[server]
listen = 80
server_name = "shop.example"
[[server.location]]
path = "/"
proxy_pass = "http://orders"
[upstream.orders]
server = ["10.0.0.1:8000", "10.0.0.2:8000"]
keepalive = 32
""",
        """
1 worker_processes: write workers = 2; "auto" is one for each core
2 server: its `listen` is listen = ":8080" at the top, its server_name `host` of a route,
3 server.listen: it stands at the top of the file, above the first [table]: listen = ":80"
4 server.server_name: write host = "shop.example"; a list for several, "*.example.com" for
7 server.location[0].proxy_pass: write to = "http://orders", or the name of an [upstream.NAME]
9 upstream.orders.server: write servers = ["http://10.0.0.1:8000", "http://10.0.0.2:8000"],
10 upstream.orders.keepalive: write pool = { idle = 32 }
""",
    ),
    Faulty(
        "nginx regular expressions",
        """
[[route]]
path = "~* ^/img/.*[.](png|jpg)$"
to = "orders"
[[route]]
path = "= /exact"
to = "orders"
[[route]]
path = "^~ /static/"
to = "orders"
"""
        + ORDERS,
        """
2 route[0].path: write "~(?i)^/img/.*[.](png|jpg)$"
5 route[1].path: write "/exact"
8 route[2].path: write "/static/*"
""",
    ),
    Faulty(
        "nginx return and rewrite",
        """
[[route]]
path = "/old"
return = "301 https://shop.example/new"
[[route]]
path = "/v1/*"
rewrite = "^/v1/(.*)$ /v2/$1 break"
to = "orders"
[[route]]
path = "/gone"
redirect = "https://shop.example$request_uri"
"""
        + ORDERS,
        """
3 route[0].return: write redirect = { to = "https://shop.example/new", status = 301 }
6 route[1].rewrite: say which: { path = "/new" } is the whole path, { strip = "/api" } takes
10 route[2].redirect: write {path}
""",
    ),
    Faulty(
        "nginx limits and TLS",
        """
client_max_body_size = "20m"
keepalive_timeout = 65
ssl_certificate = "/etc/ssl/shop.pem"
gzip = true
[[route]]
limit_req = "zone=one burst=5"
auth_basic = "private"
to = "orders"
"""
        + ORDERS,
        """
1 client_max_body_size: write [limits] body = "20MiB", or body_limit on a route
2 keepalive_timeout: write [limits] keepalive = "65s"
3 ssl_certificate: write tls = { cert = "edge.pem", key =
4 gzip: in a [[route]]: write compress = true, or { types = ["text/*"], min = "1KiB"
6 route[0].limit_req: write rate = { limit = "100/s", burst = 200, key = "client" }
7 route[0].auth_basic: write [auth.staff] basic = { file = "users.htpasswd" }, and auth =
""",
    ),
    Faulty(
        "nginx headers",
        """
[[route]]
to = "orders"
add_header = { X-Frame-Options = "DENY" }
proxy_hide_header = "X-Powered-By"
[route.headers.request.set]
X-Forwarded-For = "$proxy_add_x_forwarded_for"
X-Forwarded-Proto = "$scheme"
"""
        + ORDERS,
        """
3 route[0].add_header: write headers.response.set = { X-Frame-Options = "…" }; `add` adds to
4 route[0].proxy_hide_header: write headers.response.remove = ["x-powered-by"]
6 route[0].headers.request.set.X-Forwarded-For: with [forwarding] x_forwarded = false it is yours
7 route[0].headers.request.set.X-Forwarded-Proto: with [forwarding] x_forwarded = false it is yours
""",
    ),
    Faulty(
        "nginx load balancing",
        """
[[route]]
to = "orders"
proxy_next_upstream = "error timeout"
[upstream.orders]
servers = [{ url = "http://10.0.0.1:8000", weight = 3 }, { url = "http://10.0.0.2:8000" }]
least_conn = true
max_fails = 3
""",
        """
3 route[0].proxy_next_upstream: write retry = 2, or retry = { times = 2, on = [502, 503] }
5 upstream.orders.servers: write servers = { "http://10.0.0.1:8000" = 3,
6 upstream.orders.least_conn: write balance = "least_request"
7 upstream.orders.max_fails: write eject = { errors = 5, base = "30s", max = 0.5 }
""",
    ),
    Faulty(
        "nginx files",
        """
[[route]]
path = "/"
root = "/var/www"
index = "index.html"
[[route]]
path = "/app/*"
try_files = "$uri /index.html"
""",
        """
3 route[0].root: Spangate serves no files: route to a server that does, or answer a text with
4 route[0].index: Spangate serves no files: route to a server that does, or answer a text
7 route[1].try_files: Spangate serves no files: route to a server that does, or answer a text
""",
    ),
    Faulty(
        "nginx semicolons",
        """
listen = ":8080";
[[route]]
to = "http://10.0.0.1:8000"
""",
        """
1 syntax: leave the semicolon out
""",
    ),
]

TRAEFIK = [
    Faulty(
        "traefik dynamic file",
        """
[http.routers.shop]
rule = "Host(`shop.example`) && PathPrefix(`/api`)"
service = "shop"
entryPoints = ["web"]
middlewares = ["strip"]
[http.middlewares.strip.stripPrefix]
prefixes = ["/api"]
[[http.services.shop.loadBalancer.servers]]
url = "http://10.0.0.1:8000"
""",
        """
1 http: a router is [[route]] with `host`, `path` and `to`, a service is [upstream.NAME] with
2 http.routers.shop.rule: write host = "shop.example", path = "/api/*"
3 http.routers.shop.service: write to = "shop": the name of an [upstream.NAME], or a URL such
4 http.routers.shop.entryPoints: there is one set of routes for all of `listen`: tell them
5 http.routers.shop.middlewares: what a middleware, plugin or filter does is a key of the
9 http.services.shop.loadBalancer.servers[0].url: write servers = ["http://10.0.0.1:8000"],
""",
    ),
    Faulty(
        "traefik static file",
        """
[entryPoints.web]
address = ":80"
[providers.file]
filename = "dynamic.toml"
[api]
dashboard = true
[[route]]
to = "http://10.0.0.1:8000"
""",
        """
1 entryPoints: write listen = ":8080" at the top of the file
2 entryPoints.web.address: write listen = ":80" at the top of the file
3 providers: a router is [[route]] with `host`, `path` and `to`, a service is [upstream.NAME]
5 api: write [admin] listen = "127.0.0.1:9901": health, metrics, configuration and books
""",
    ),
    Faulty(
        "traefik rule on a route",
        """
[[route]]
rule = "Host(`shop.example`) && PathPrefix(`/api`) && Method(`GET`, `HEAD`)"
service = "orders"
"""
        + ORDERS,
        """
2 route[0].rule: write host = "shop.example", path = "/api/*", when.method = ["GET", "HEAD"]
3 route[0].service: write to = "orders": the name of an [upstream.NAME], or a URL such as
""",
    ),
    Faulty(
        "traefik path matcher",
        """
[[route]]
path = "PathPrefix(`/api`)"
to = "orders"
priority = 10
"""
        + ORDERS,
        """
2 route[0].path: write path = "/api/*"
4 route[0].priority: expected a string, got a whole number (write "high", "normal" or "low": which
""",
    ),
    Faulty(
        "traefik middlewares on a route",
        """
[[route]]
path = "/api/*"
to = "orders"
stripPrefix = "/api"
rateLimit = { average = 100 }
basicAuth = { users = ["a:b"] }
compress = { encodings = ["br"], minResponseBodyBytes = 1200, includedContentTypes = ["text/html"] }
"""
        + ORDERS,
        """
4 route[0].stripPrefix: write rewrite = { strip = "/api" }
5 route[0].rateLimit: write rate = { limit = "100/s", burst = 200, key = "client" }
6 route[0].basicAuth: write [auth.staff] basic = { file = "users.htpasswd" }, and auth =
7 route[0].compress.encodings: write with = ["zstd", "br", "gzip"], the best first
7 route[0].compress.minResponseBodyBytes: write min = "1KiB"
7 route[0].compress.includedContentTypes: write types = ["text/*", "application/json"]
""",
    ),
    Faulty(
        "traefik TLS",
        """
[[route]]
host = "shop.example"
to = "orders"
[route.tls]
certResolver = "letsencrypt"
[certificatesResolvers.letsencrypt.acme]
email = "ops@shop.example"
"""
        + ORDERS,
        """
4 route[0].tls: write tls = { cert = "edge.pem", key =
6 certificatesResolvers: write tls = { cert = "edge.pem", key =
""",
    ),
    Faulty(
        "traefik tracing",
        """
[accessLog]
filePath = "/var/log/access.log"
[tracing]
serviceName = "edge"
sampleRate = 0.1
[tracing.otlp.grpc]
endpoint = "collector:4317"
[[route]]
to = "http://10.0.0.1:8000"
""",
        """
1 accessLog: write `access_log`
4 tracing.serviceName: write resource = { "service.name" = "edge" } at the top of the file
5 tracing.sampleRate: write sample = 0.1: a share from 0 to 1
6 tracing.otlp: write [export] otlp = "grpc://collector:4317"
""",
    ),
    Faulty(
        "traefik health check",
        """
[[route]]
to = "orders"
passHostHeader = true"""
        + ORDERS
        + """[upstream.orders.healthCheck]
path = "/health"
interval = "10s"
""",
        """
3 route[0].passHostHeader: the client's Host is passed on by itself; for another one write
6 upstream.orders.healthCheck: write health = "/health", or health = { path = "/healthz",
""",
    ),
]

CADDY = [
    Faulty(
        "a Caddyfile itself",
        """
shop.example {
	reverse_proxy localhost:8000
}
""",
        """
1 syntax: write [[route]] with to = "http://localhost:8000"
""",
    ),
    Faulty(
        "caddy reverse_proxy",
        """
[[route]]
host = "shop.example"
reverse_proxy = "localhost:8000"
""",
        """
3 route[0].reverse_proxy: write to = "http://localhost:8000", or the name of an
""",
    ),
    Faulty(
        "caddy handle_path",
        """
[[route]]
handle_path = "/api/*"
reverse_proxy = ["10.0.0.1:8000", "10.0.0.2:8000"]
lb_policy = "least_conn"
health_uri = "/healthz"
""",
        """
2 route[0].handle_path: write path = "/api/*" and rewrite = { strip = "/api" }
3 route[0].reverse_proxy: list them in an upstream: [upstream.orders] servers =
4 route[0].lb_policy: it belongs to the upstream: write balance there, such as
5 route[0].health_uri: it belongs to the upstream: [upstream.orders] health = "/healthz"
""",
    ),
    Faulty(
        "caddy placeholders",
        """
listen = ":{$PORT}"
[[route]]
path = "/old/*"
redir = "https://shop.example{uri}"
[[route]]
path = "/older/*"
redirect = "https://shop.example{http.request.uri}"
[[route]]
to = "orders"
headers.request.set = { X-Real-IP = "{remote_host}" }
"""
        + ORDERS,
        """
1 listen: write ":${PORT}"
4 route[0].redir: write redirect = { to = "https://shop.example{path}", status = 301 }
7 route[1].redirect: write {path}
10 route[2].headers.request.set.X-Real-IP: X-Forwarded-For is sent by itself
""",
    ),
    Faulty(
        "caddy headers",
        """
[[route]]
to = "orders"
header_up = { X-Team = "shop" }
header_down = { -Server = "" }
"""
        + ORDERS,
        """
3 route[0].header_up: write headers.request.set = { X-Team = "…" }; `add` adds to what is
4 route[0].header_down: write headers.response.set = { -Server = "…" }; `add` adds to what is
""",
    ),
    Faulty(
        "caddy site options",
        """
[[route]]
encode = ["gzip", "zstd"]
file_server = true
root = "/srv"
[[route]]
path = "/secret"
basic_auth = { bob = "hash" }
respond = "hidden"
""",
        """
2 route[0].encode: write compress = true, or { types = ["text/*"], min = "1KiB"
3 route[0].file_server: Spangate serves no files: route to a server that does, or answer a
4 route[0].root: Spangate serves no files: route to a server that does, or answer a text with
7 route[1].basic_auth: write [auth.staff] basic = { file = "users.htpasswd" }, and auth =
""",
    ),
    Faulty(
        "caddy respond",
        """
[[route]]
path = "/health"
respond = { text = "ok", code = 200 }
[[route]]
path = "/moved"
redirect = { url = "/new", permanent = true }
""",
        """
3 route[0].respond.text: write body = "ok"
3 route[0].respond.code: write status = 200
6 route[1].redirect.url: write to = "/new"
6 route[1].redirect.permanent: write status = 301, or 308 to keep the method
""",
    ),
    Faulty(
        "caddy path",
        """
[[route]]
path = "/files/{rest...}"
to = "orders"
"""
        + ORDERS,
        """
2 route[0].path: write "/files/*"; {*} is what you call rest
""",
    ),
]

CADDY.append(
    Faulty(
        "caddy's own certificates",
        """
[[listen]]
address = ":443"
tls = "internal"
[[route]]
to = "orders"
"""
        + ORDERS,
        """
3 listen[0].tls: or for development tls = { self_signed = true }
""",
    )
)

ENVOY = [
    Faulty(
        "envoy.yaml itself",
        """
static_resources:
  listeners:
  - address:
      socket_address: { port_value: 80 }
""",
        """
1 syntax: a listener is listen = ":8080", a virtual host `host` of a route, a route
""",
    ),
    Faulty(
        "envoy clusters",
        """
[[listeners]]
address = "0.0.0.0"
port_value = 8080
[[clusters]]
name = "orders"
lb_policy = "ROUND_ROBIN"
connect_timeout = "1s"
[[route]]
match = { prefix = "/api" }
cluster = "orders"
""",
        """
1 listeners: write listen = ":8080" at the top of the file
2 listeners[0].address: write listen = ":8080" at the top of the file
3 listeners[0].port_value: write listen = ":8080" at the top of the file
4 clusters: write [upstream.NAME] with servers = ["http://10.0.0.1:8000"]; routes name it: to
6 clusters[0].lb_policy: write balance = "round_robin", "random", "least_request",
9 route[0].match: write path = "/api/*"
10 route[0].cluster: write to = "orders": the name of an [upstream.NAME], or a URL such as
""",
    ),
    Faulty(
        "envoy route fields",
        """
[[route]]
match = { prefix = "/api/" }
prefix_rewrite = "/"
host_rewrite_literal = "orders.internal"
timeout = "15s"
retry_policy = { retry_on = "5xx", num_retries = 3 }
to = "orders"
"""
        + ORDERS,
        """
2 route[0].match: write path = "/api/*"
3 route[0].prefix_rewrite: write rewrite = { prefix = "/" }: it takes the place of what
4 route[0].host_rewrite_literal: the client's Host is passed on by itself; for another one
6 route[0].retry_policy: write retry = 2, or retry = { times = 2, on = [502, 503] }
""",
    ),
    Faulty(
        "envoy weighted clusters",
        """
[[route]]
path = "/a/*"
weighted_clusters = { stable = 90, canary = 10 }
[[route]]
path = "/b/*"
to = { orders = 0.9, canary = 0.1 }
"""
        + ORDERS
        + """[upstream.canary]
servers = "http://10.0.0.2:8000"
""",
        """
3 route[0].weighted_clusters: shares are in `to`: to = { stable = 90, canary = 10 }
6 route[1].to.orders: weights are whole numbers, such as { "stable" = 90, "canary" = 10 }
6 route[1].to.canary: weights are whole numbers, such as { "stable" = 90, "canary" = 10 }
""",
    ),
    Faulty(
        "envoy redirect and direct response",
        """
[[route]]
path = "/old"
redirect = { path_redirect = "/new", response_code = 301 }
[[route]]
path = "/ping"
direct_response = { status = 200, body = { inline_string = "pong" } }
""",
        """
3 route[0].redirect.path_redirect: write to = "/new"
3 route[0].redirect.response_code: write status = 301
6 route[1].direct_response: write respond = { status = 200, body = "text" }
""",
    ),
    Faulty(
        "envoy headers",
        """
[[route]]
to = "orders"
request_headers_to_add = [{ header = { key = "x-team", value = "shop" } }]
response_headers_to_remove = ["server"]
headers.request.set = { x-ip = "%DOWNSTREAM_REMOTE_ADDRESS%" }
"""
        + ORDERS,
        """
3 route[0].request_headers_to_add: write headers.request.set = { x-team = "…" }; `add` adds
4 route[0].response_headers_to_remove: write headers.response.set = { x-team = "…" }; `add`
5 route[0].headers.request.set.x-ip: X-Forwarded-For is sent by itself
""",
    ),
    Faulty(
        "envoy cluster fields",
        """
[[route]]
to = "orders"
[upstream.orders]
load_assignment = { endpoints = [] }
type = "STRICT_DNS"
outlier_detection = { consecutive_5xx = 5 }
transport_socket = { name = "tls" }
health_checks = [{ http_health_check = { path = "/healthz" } }]
""",
        """
4 upstream.orders.load_assignment: write servers = ["http://10.0.0.1:8000"], or {
5 upstream.orders.type: names are looked up again by themselves: leave it out
6 upstream.orders.outlier_detection: write eject = { errors = 5, base = "30s", max = 0.5 }
7 upstream.orders.transport_socket: write https:// servers, and tls = { ca =
8 upstream.orders.health_checks: write health = "/healthz", or health = { path = "/healthz",
""",
    ),
    Faulty(
        "envoy admin",
        """
[admin]
address = { socket_address = { address = "127.0.0.1", port_value = 9901 } }
access_log_path = "/dev/stdout"
[[route]]
to = "http://10.0.0.1:8000"
""",
        """
2 admin.address: write listen = "127.0.0.1:9901"
3 admin.access_log_path: write [access_log] stdout = true
""",
    ),
]

HAPROXY = [
    Faulty(
        "haproxy.cfg itself",
        """
frontend web
    bind *:80
    default_backend orders
""",
        """
1 syntax: its bind is listen = ":8080" at the top, each use_backend a [[route]] with `host`,
""",
    ),
    Faulty(
        "haproxy frontend",
        """
[frontend.web]
bind = "*:8080"
mode = "http"
default_backend = "orders"
[backend.orders]
balance = "leastconn"
server = ["10.0.0.1:8000"]
""",
        """
1 frontend: its bind is listen = ":8080" at the top, each use_backend a [[route]] with
2 frontend.web.bind: write listen = ":8080" at the top of the file
4 frontend.web.default_backend: write to = "orders": the name of an [upstream.NAME], or a URL
5 backend: write [upstream.NAME] with servers = ["http://10.0.0.1:8000"]; routes name it: to
6 backend.orders.balance: it belongs to the upstream: write balance there, such as
7 backend.orders.server: write servers = ["http://10.0.0.1:8000"], or {
""",
    ),
    Faulty(
        "haproxy bind",
        """
listen = "*:8080"
maxconn = 1000
nbthread = 4
[[route]]
to = "orders"
"""
        + ORDERS,
        """
1 listen: write ":8080"
2 maxconn: write [limits] connections = 1000: for each worker
3 nbthread: write workers = 4
""",
    ),
    Faulty(
        "haproxy acl",
        """
[[route]]
acl = "path_beg /api"
use_backend = "orders"
http_request = "set-header X-Team shop"
"""
        + ORDERS,
        """
2 route[0].acl: conditions are host, path and when = { method = …, header = …, query = … }
3 route[0].use_backend: write to = "orders": the name of an [upstream.NAME], or a URL such as
4 route[0].http_request: write headers.request.set = { x-team = "…" }; `add` adds to what is
""",
    ),
    Faulty(
        "haproxy timeouts",
        """
[defaults]
timeout_connect = "5s"
timeout_server = 30
retries = 3
[[route]]
to = "orders"
"""
        + ORDERS,
        """
2 defaults.timeout_connect: write connect_timeout = "5s"
3 defaults.timeout_server: write first_byte_timeout = "30s" (until the answer begins) and
4 defaults.retries: write retry = 3, or retry = { times = 2, on = [502, 503] }
""",
    ),
    Faulty(
        "haproxy check",
        """
[[route]]
to = "orders"
[upstream.orders]
servers = ["10.0.0.1:8000"]
option_httpchk = "GET /healthz"
health = { inter = "2s", rise = 2, fall = 3 }
backup = "10.0.0.2:8000"
""",
        """
4 upstream.orders.servers[0]: '10.0.0.1:8000' is not a server: write "http://10.0.0.1:8000"
5 upstream.orders.option_httpchk: write health = "/healthz", or health = { path = "/healthz",
6 upstream.orders.health.inter: write every = "2s"
7 upstream.orders.backup[0]: '10.0.0.2:8000' is not a server: write "http://10.0.0.2:8000"
""",
    ),
    Faulty(
        "haproxy sample fetches",
        """
[[route]]
path = "/old"
redirect = "https://shop.example%[path]"
[[route]]
to = "orders"
headers.request.set = { X-Client = "%[src]" }
"""
        + ORDERS,
        """
3 route[0].redirect: write {path}
6 route[1].headers.request.set.X-Client: X-Forwarded-For is sent by itself
""",
    ),
]

KONG = [
    Faulty(
        "kong.yml itself",
        """
_format_version: '3.0'
services:
- name: orders
  url: http://10.0.0.1:8000
""",
        """
1 syntax: write [upstream.NAME] with servers = ["http://10.0.0.1:8000"]; routes name it: to =
""",
    ),
    Faulty(
        "kong services and routes",
        """
[[services]]
name = "orders"
url = "http://10.0.0.1:8000"
[[services.routes]]
paths = ["/api"]
strip_path = true
""",
        """
1 services: write [upstream.NAME] with servers = ["http://10.0.0.1:8000"]; routes name it: to
3 services[0].url: write servers = ["http://10.0.0.1:8000"], or { "http://10.0.0.1:8000" =
5 services[0].routes[0].paths: write path = "/api/*"
6 services[0].routes[0].strip_path: write rewrite = { strip = "/api" }
""",
    ),
    Faulty(
        "kong route fields",
        """
[[route]]
name = "orders"
paths = ["/api"]
hosts = ["shop.example"]
methods = ["GET", "POST"]
strip_path = true
preserve_host = false
service = "orders"
"""
        + ORDERS,
        """
3 route[0].paths: write path = "/api/*"
4 route[0].hosts: write host = "shop.example"; a list for several, "*.example.com" for all
5 route[0].methods: write when = { method = ["GET", "POST"] }
6 route[0].strip_path: write rewrite = { strip = "/api" }
7 route[0].preserve_host: the client's Host is passed on by itself; for another one write
8 route[0].service: write to = "orders": the name of an [upstream.NAME], or a URL such as
""",
    ),
    Faulty(
        "kong upstream targets",
        """
[[route]]
to = "orders"
[upstream.orders]
targets = ["10.0.0.1:8000", "10.0.0.2:8000"]
algorithm = "round-robin"
healthchecks = { active = { http_path = "/healthz" } }
""",
        """
4 upstream.orders.targets: write servers = ["http://10.0.0.1:8000", "http://10.0.0.2:8000"],
5 upstream.orders.algorithm: write balance = "round_robin", "random", "least_request",
6 upstream.orders.healthchecks: write health = "/healthz", or health = { path = "/healthz",
""",
    ),
    Faulty(
        "kong plugins",
        """
[[plugins]]
name = "rate-limiting"
[[route]]
to = "orders"
plugins = [{ name = "cors" }]
key_auth = true
"""
        + ORDERS,
        """
1 plugins: what a plugin does is a key of the route: rewrite, redirect, respond, headers,
5 route[0].plugins: what a middleware, plugin or filter does is a key of the route here:
6 route[0].key_auth: write [auth.keys] api_key = { file = "keys.toml" }, and auth = "keys" in a
""",
    ),
    Faulty(
        "kong timeouts",
        """
proxy_listen = "0.0.0.0:8000"
admin_listen = "127.0.0.1:8001"
[[route]]
to = "orders"
read_timeout = 60000
retries = 5
"""
        + ORDERS,
        """
1 proxy_listen: write listen = ":8000" at the top of the file
2 admin_listen: write [admin] listen = "127.0.0.1:9901"
5 route[0].read_timeout: write first_byte_timeout = "60s" (until the answer begins) and
6 route[0].retries: write retry = 5, or retry = { times = 2, on = [502, 503] }
""",
    ),
    Faulty(
        "kong regular expressions",
        """
[[route]]
path = "/users/:id"
to = "orders"
[[route]]
path = "/things/{id:[0-9]+}"
to = "orders"
"""
        + ORDERS,
        """
2 route[0].path: write "/users/{id}"
5 route[1].path: write "~/things/(?P<id>[0-9]+)"
""",
    ),
]

COLLECTOR = [
    Faulty(
        "config.yaml itself",
        """
receivers:
  otlp:
    protocols:
      grpc:
""",
        """
1 syntax: this is the OpenTelemetry Collector's YAML, which `spangate collect` reads as it is
""",
    ),
    Faulty(
        "collector without its prefix",
        """
[receivers.otlp.protocols.grpc]
endpoint = "0.0.0.0:4317"
[exporters.otlp]
endpoint = "back-end:4317"
[service.pipelines.traces]
receivers = ["otlp"]
exporters = ["otlp"]
""",
        """
1 receivers: the collector's tables are below [collector]: write [collector.receivers.otlp]
3 exporters: the collector's tables are below [collector]: write [collector.exporters.otlp]
5 service: pipelines are [collector.pipelines.traces]; this gateway's own name is resource =
""",
    ),
    Faulty(
        "collector extensions",
        """
[collector.extensions.health_check]
[collector.receivers.otlp.protocols.grpc]
endpoint = "0.0.0.0:4317"
[collector.exporters.logging]
loglevel = "debug"
[collector.service]
extensions = ["health_check"]
[collector.service.pipelines.traces]
receivers = ["otlp"]
exporters = ["logging"]
""",
        """
1 collector.extensions: there are none: /live and /ready on the [admin] port are
4 collector.exporters.logging: write `debug`
6 collector.service: its pipelines are [collector.pipelines.traces]; there are no extensions
""",
    ),
    Faulty(
        "collector batch and queue",
        """
[collector.receivers.otlp.protocols.grpc]
max_recv_msg_size_mib = 16
[collector.processors.batch]
send_batch_max_size = 10000
metadata_keys = ["tenant"]
[collector.exporters.otlp]
endpoint = "back-end:4317"
sending_queue = { enabled = true, queue_size = 5000, storage = "file_storage/otlp" }
retry_on_failure = { multiplier = 2.0 }
[collector.pipelines.traces]
receivers = ["otlp"]
processors = ["batch"]
exporters = ["otlp"]
""",
        """
2 collector.receivers.otlp.protocols.grpc.max_recv_msg_size_mib: write max_request_size =
4 collector.processors.batch.send_batch_max_size: a batch is bounded in bytes: write
5 collector.processors.batch.metadata_keys: batches are not kept apart by what clients send
8 collector.exporters.otlp.sending_queue.queue_size: the queue is bounded in bytes here, not
9 collector.exporters.otlp.retry_on_failure.multiplier: each pause is twice the one before,
""",
    ),
    Faulty(
        "collector connectors",
        """
[collector.receivers.otlp]
grpc = "127.0.0.1:4317"
http = "127.0.0.1:4317"
[collector.connectors.spanmetrics]
[collector.exporters.debug]
[collector.pipelines.traces]
receivers = ["otlp"]
exporters = ["spanmetrics", "debug"]
""",
        """
3 collector.receivers.otlp.http: use another port
4 collector.connectors.spanmetrics: write receivers = ["spanmetrics"] in the pipeline that
""",
    ),
    Faulty(
        "collector as an endpoint",
        """
[export]
otlp = "http://collector:4318/v1/traces"
insecure = true
protocol = "grpc"
[tracing]
propagators = ["tracecontext", "b3"]
sampling_ratio = 0.1
[[route]]
to = "http://10.0.0.1:8000"
""",
        """
2 export.otlp[0]: write otlp = "http://collector:4318", or traces =
3 export.insecure: it is in the URL: grpc://host:4317, grpcs:// with TLS, http://host:4318,
4 export.protocol: it is in the URL: grpc://host:4317, grpcs:// with TLS, http://host:4318,
6 tracing.propagators: write extract = ["w3c", "b3"] (what is read) and inject = ["w3c"]
7 tracing.sampling_ratio: write sample = 0.1: a share from 0 to 1
""",
    ),
    Faulty(
        "collector port taken twice",
        """
[[route]]
to = "http://10.0.0.1:8000"
[collector.receivers.otlp]
grpc = "0.0.0.0:4317"
[collector.receivers.zipkin]
endpoint = "localhost:4317"
[collector.exporters.debug]
[collector.pipelines.traces]
receivers = ["otlp", "zipkin"]
exporters = ["debug"]
""",
        """
6 collector.receivers.zipkin.endpoint: use another port
""",
    ),
]

ANYBODY = [
    Faulty(
        "a key of the top after a table",
        """
[[route]]
to = "http://10.0.0.1:8000"
listen = ":80"
workers = 2
""",
        """
3 route[0].listen: it stands at the top of the file, above the first [table]: listen = ":80"
4 route[0].workers: `workers` stands at the top of the file, above the first [table]: TOML
""",
    ),
    Faulty(
        "a missing variable",
        """
listen = ":${PORT}"
[[route]]
to = "${BACK_END}"
headers.request.set.x-key = "${KEY-a}"
""",
        """
1 listen: set it, or give a default: ${PORT:-…}
3 route[0].to: set it, or give a default: ${BACK_END:-…}
4 route[0].headers.request.set.x-key: write ${KEY:-a}
""",
    ),
    Faulty(
        "texts without quotes",
        """
[[route]]
path = /api/*
to = http://10.0.0.1:8000
""",
        """
2 syntax: texts are in quotes: path = "/api/*"
""",
    ),
    Faulty(
        "wrong shapes",
        """
tracing = true
[[route]]
to = ["http://10.0.0.1:8000", "http://10.0.0.2:8000"]
rewrite = "/v2"
headers = ["X-Team: shop"]
when = "GET"
retry = true
""",
        """
1 tracing: write [tracing] sample = 0.1; sampler = "never" switches it off
3 route[0].to: write to = { stable = 90, canary = 10 } to share requests out; several servers
4 route[0].rewrite: say which: { path = "/new" } is the whole path, { strip = "/api" } takes
5 route[0].headers: write headers.request.set = { x-team = "…" } towards the upstream,
6 route[0].when: write when = { method = ["GET"], header = { x-beta = "1" }, query = { v =
7 route[0].retry: write retry = 2, retry = 0 for none, or retry = { times = 2, on = [502,
""",
    ),
]

FILES = [*NGINX, *TRAEFIK, *CADDY, *ENVOY, *HAPROXY, *KONG, *COLLECTOR, *ANYBODY]
