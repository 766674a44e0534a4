"""What people write into an upstream, its health check, its pool, and into `retry`."""

from __future__ import annotations

from proxy.config.words.text import read

UPSTREAM = read("""
server url urls endpoint endpoints target targets host hosts node nodes address addresses backends
upstreams members load_assignment to dial port ip uri
    write servers = <["http://10.0.0.1:8000"]>, or { "http://10.0.0.1:8000" = 90, … } by weight
lb lb_policy lb_algorithm load_balancer load_balancing algorithm strategy policy method slots
    write balance = "round_robin", "random", "least_request", "peak_ewma" or { policy = "hash",
    on = "header:x-user" }
least_conn least_request leastconn p2c least_connections
    write balance = "least_request"
ewma peak_ewma least_time leasttime latency
    write balance = "peak_ewma"
random
    write balance = "random"
ip_hash source_hash
    write balance = { policy = "hash", on = "client" }
hash hash_on consistent_hash chash hash_policy ring_hash maglev
    write balance = { policy = "hash", on = "header:x-user" }
sticky_cookie session_affinity sticky_session affinity cookie stick
    write sticky = { cookie = <"srv">, ttl = "1h" }
slowstart slow_start_config slow_start_window slowstart_window
    write slow_start = <"30s">
backups backup_servers fallback standby
    write backup = <["http://10.0.1.1:8000"]>
panic_threshold healthy_panic_threshold
    write panic = <0.3>
locality region availability_zone az zone_aware
    write zone = <"a"> (this gateway's) and zones = { a = ["http://10.0.0.1:8000"], … }
keepalive keepalive_connections keepalive_requests max_idle_conns pool_size
max_idle_conns_per_host connection_pool idle
    write pool = { idle = <128> }
keepalive_timeout keepalive_idle_timeout idle_conn_timeout
    write pool = { idle_timeout = <"4s"> }
health_check health_checks healthcheck healthchecks health_uri check option_httpchk httpchk active
active_health_checks health_path
    write health = <"/healthz">, or health = { path = "/healthz", every = "5s" }
outlier_detection passive max_fails fail_timeout fail_duration unhealthy_status
passive_health_checks ejection
    write eject = { errors = 5, base = "30s", max = 0.5 }: failed tries in a row, and the time out
circuit_breaker circuit_breakers circuit_breaking cb
    write breaker = { failures = 0.5, window = "10s", open = "5s" } for servers that fail, and
    limits = { connections = 1000, pending = 1000, requests = 1000, retries = 3 } for what may be
    under way at once, as Envoy's thresholds
max_conns maxconn max_connections connection_limit
    write limits = { connections = <1000> }: of all its servers together
max_requests max_concurrent_requests concurrency in_flight_req max_in_flight
    write limits = { requests = <1000> }: of all its servers together
max_pending_requests queue maxqueue max_queue pending pending_requests queue_size
    write limits = { requests = 1000, pending = <1000> }: how many may wait for their turn
adaptive_concurrency gradient_controller adaptive concurrency_limit load_shedding
    write limits = { adaptive = true }
priority
    it belongs to the route: [[route]] priority = "low"
proxy_protocol send_proxy_v2 send_proxy_v1 proxy_protocol_version
    write send_proxy = "v2", or "v1"
weight weights
    weights stand beside the servers: servers = { "http://10.0.0.1:8000" = 90,
    "http://10.0.0.2:8000" = 10 }
retries num_retries retry_policy max_retries attempts
    write retry = <2>, or retry = { times = 2, on = [502, 503] }
resolver resolvers dns dns_resolvers dns_lookup_family resolve type lb_subset_config
dns_refresh_rate service_discovery sd dns_sd discovery file_sd file_sd_configs
    names are looked up again by themselves: leave it out; all addresses of one are
    discover = "dns://orders.internal:8000", and who is asked is [dns] servers = ["10.0.0.2:53"]
read_timeout proxy_read_timeout response_header_timeout server_timeout
    write first_byte_timeout = <"60s"> (until the answer begins) and idle_timeout (without a byte)
write_timeout send_timeout proxy_send_timeout
    write idle_timeout = <"60s">
dial_timeout proxy_connect_timeout timeout_connect
    write connect_timeout = <"5s">
path
    a server has no path: what is asked for follows from the route's `path` and `rewrite`
protocols
    write protocol = "auto", "h1" or "h2"
scheme
    it is in the servers' URLs: "http://10.0.0.1:8000"
name
    the name is the table's: [upstream.NAME]
host_header
    it belongs to the route: [[route]] host_header = <"shop.example">
pass_host_header
    it belongs to the route: the client's Host is passed on unless host_header says another
headers
    they belong to the route: headers.request.set = { x-team = "…" }
""")

LIMITS = read("""
max_connections max_conns maxconn conns connection
    write connections = <1000>
max_pending_requests max_pending queue maxqueue queue_size
    write pending = <1000>
max_requests max_concurrent_requests concurrency in_flight max_in_flight
    write requests = <1000>
max_retries retry max_concurrent_retries
    write retries = <3>: requests that are being tried again at once
adaptive_concurrency gradient_controller gradient
    write adaptive = true
thresholds
    write its keys here: limits = { connections = 1000, pending = 1000, requests = 1000 }
timeout queue_timeout
    who waits does so no longer than connect_timeout: leave it out
priority
    it belongs to the route: [[route]] priority = "low"
rate rps
    it belongs to the route: [[route]] rate = "100/s"
max_connection_pools track_remaining retry_budget
    leave it out; retries have a budget in `retry`
""")

HEALTH = read("""
interval period inter check_interval
    write every = <"5s">
uri url endpoint http_path target
    write path = <"/healthz">
expected_status expected_statuses expect_status status_code statuses http_statuses expect
expected_codes code
    write status = <[200]>
unhealthy_threshold fails failures http_failures max_fails retries
    write fall = <3>: bad probes until a server is down
healthy_threshold passes successes
    write rise = <2>: good probes until it is up again
address
    servers are probed where they serve, or at `port`
method
    a probe is a GET of `path`, judged by `status` and `body`
type
    a probe is a GET over HTTP; write tcp = true or grpc = "service" for another
tcp_check tcp_health_check
    write tcp = true
body_contains match expect_body response
    write body = "ok", or body = "~regex"
enabled
    it is on where there is a `health`: leave it out
active
    write its keys here: health = { path = "/healthz", every = "5s" }
passive
    write eject = { errors = 5, base = "30s", max = 0.5 } beside `health`
""")

EJECT = read("""
consecutive_5xx consecutive_errors consecutive_failures max_fails consecutive_gateway_failure
    write errors = <5>
base_ejection_time fail_timeout interval duration time
    write base = <"30s">
max_ejection_percent max_percent
    write max = 0.5: a share
""")

BREAKER = read("""
threshold expression failure_ratio failure_rate error_threshold_percentage
    write failures = 0.5: a share
interval check_period
    write window = <"10s">
fallback_duration recovery_duration sleep_window timeout
    write open = <"5s">
""")

POOL = read("""
max size max_idle max_idle_conns keepalive max_connections idle_connections
    write idle = <128>: kept for each worker and server
timeout keepalive_timeout ttl idle_conn_timeout
    write idle_timeout = <"4s">
""")

RETRY = read("""
hedging hedge_policy hedge_on_per_try_timeout
    write hedge = "p95", or "50ms"
attempts count num num_retries tries retries max max_retries max_attempts
    write times = <2>: tries besides the first
status statuses status_codes codes retry_on conditions retriable_status_codes
    write on = <[502, 503]>; refused and reset connections are tried again anyway
initial_interval interval backoff_base base_interval delay pause
    write backoff = <"25ms">: doubled each time, with jitter
timeout per_try_timeout
    one try is bounded by connect_timeout and first_byte_timeout of the route, all of them by its
    timeout
method
    write methods = <["GET"]>
retry_budget
    write budget = <0.2>
budget_percent
    write budget = 0.2
""")

BALANCE = read("""
type kind name strategy lb mode
    write policy = <"hash">
key header hash_on hash_key source by
    write on = "header:x-user", "cookie:session", "client" or "path:id"
function table ring maglev
    write algorithm = "maglev", or "ring"
""")

STICKY = read("""
name cookie_name
    write cookie = <"srv">
max_age maxage expires lifetime expiry
    write ttl = <"1h">
secret signing_key password
    write key = "${STICKY_KEY}"
secure httponly http_only samesite same_site path domain
    it is HttpOnly, SameSite=Lax and, over TLS, Secure, for every path: leave it out
""")
