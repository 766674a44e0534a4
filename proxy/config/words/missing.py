"""What Spangate does not have or calls otherwise, under all of its names."""

from __future__ import annotations

from proxy.config.words.text import read

NAMES = read("""
tls ssl https certificates certificate certs cert cert_resolver certificates_resolvers acme
ssl_certificate ssl_certificate_key ssl_protocols transport_socket tls_context auto_https mtls
client_auth ssl_verify_client letsencrypt email crt snis sni hsts
    write tls = { cert = "edge.pem", key = "edge.key" } in [[listen]]
proxy_ssl_verify servers_transport insecure_skip_verify ca_cert
    write https:// servers, and tls = { ca = "ca.pem" } in [upstream.NAME]
auth basic_auth basicauth forward_auth auth_request auth_basic auth_basic_user_file jwt jwt_auth
jwt_authn key_auth api_key api_keys oauth oauth2 oidc authentication authorization ext_authz
authorize digest_auth users htpasswd acl_plugin consumers consumer rbac http_auth
stick_table_auth satisfy hmac_auth ldap_auth
    Spangate does not authenticate clients yet: the services behind it do, or a proxy before it
rate_limit rate_limits ratelimit rate_limiting limit_req limit_req_zone limit_conn limit_rate
local_rate_limit throttle throttling in_flight_req rps burst quota stick_table limit_conn_zone
limit_connections concurrency_limit
    write rate = { limit = "100/s", burst = 200, key = "client" } in a [[route]]
cache proxy_cache proxy_cache_path caching expires cache_control etag
    Spangate does not cache
root alias file_server try_files static static_files index autoindex templates php_fastcgi
fastcgi_pass uwsgi_pass directory serve
    Spangate serves no files: route to a server that does, or answer a text with `respond`
cors allow_origin allowed_origins access_control_allow_origin access_control_allow_origin_list
    Spangate has no CORS of its own yet: headers.response.set = { access-control-allow-origin =
    "https://shop.example" }, and a route with when = { method = "OPTIONS" } and respond = 204
http2 h2c h2 grpc_pass http2_protocol_options alpn
    listeners speak HTTP/1.1 and HTTP/2; towards servers write protocol = "h2" in [upstream.NAME]
http3 quic
    Spangate speaks HTTP/1.1 and HTTP/2, no HTTP/3 yet
websocket websockets upgrade_configs
    write upgrade = ["websocket"] in a [[route]], which is the default
mirroring shadow request_mirror_policies mirrors
    write mirror = { to = "shadow", share = 0.1 } in a [[route]]
circuit_breaker circuit_breakers circuit_breaking
    write breaker = { failures = 0.5, window = "10s", open = "5s" } in [upstream.NAME], and
    limits = { requests = 1000 } for what may be under way at once
outlier_detection
    write eject = { errors = 5, base = "30s", max = 0.5 } in [upstream.NAME]
max_requests max_pending_requests
    write limits = { requests = 1000, pending = 1000 } in [upstream.NAME]
adaptive_concurrency load_shedding admission_control overload_manager
    write limits = { adaptive = true } in [upstream.NAME]
allow deny ip_allow_list ip_white_list ip_allowlist ip_restriction source_range whitelist
blacklist blocklist block geoip bot_detection waf
    Spangate has no lists of client addresses yet: let a firewall or a proxy before it do that
lua script scripts wasm ext_proc access_by_lua content_by_lua js njs
    Spangate runs no code of yours
stream streams tcp_routes layer4
    write protocol = "tcp" and to = "NAME" in [[listen]]
udp
    Spangate passes on no UDP
fault fault_injection abort delay chaos
    Spangate makes no faults on purpose yet
""")
