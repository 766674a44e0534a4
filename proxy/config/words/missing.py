"""What Spangate does not have or calls otherwise, under all of its names."""

from __future__ import annotations

from proxy.config.words.text import read

NAMES = read("""
tls ssl https certificates certificate certs cert cert_resolver certificates_resolvers acme
ssl_certificate ssl_certificate_key ssl_protocols transport_socket tls_context auto_https
letsencrypt email crt snis sni
    write tls = { cert = "edge.pem", key = "edge.key" } in [[listen]]
mtls client_auth ssl_verify_client ssl_client_certificate client_certificate
    write tls = { client_ca = "clients.pem" } in [[listen]]; who of them may come in is said by
    [auth.partners] mtls = { identities = ["spiffe://partner/*"] }
hsts security_headers sts_seconds frame_deny content_type_nosniff strict_transport_security
content_security_policy
    write secure_headers = true in a [[route]], or a table of what is different
proxy_ssl_verify servers_transport insecure_skip_verify ca_cert
    write https:// servers, and tls = { ca = "ca.pem" } in [upstream.NAME]
basic_auth basicauth basic auth_basic auth_basic_user_file users htpasswd http_auth digest_auth
    write [auth.staff] basic = { file = "users.htpasswd" }, and auth = "staff" in a [[route]]
jwt jwt_auth jwt_authn jwt_validation authentication
    write [auth.staff] jwt = { issuer = "https://id.example", audience = ["shop"], jwks =
    "https://id.example/jwks" }, and auth = "staff" in a [[route]]
key_auth api_key api_keys consumers consumer
    write [auth.keys] api_key = { file = "keys.toml" }, and auth = "keys" in a [[route]]
forward_auth auth_request ext_authz auth_url auth_request_set ldap_auth hmac_auth
    write [auth.sso] forward = { to = "http://127.0.0.1:9000/verify", headers = ["x-user"] }, and
    auth = "sso" in a [[route]]
oidc oauth oauth2 openid_connect
    write [auth.login] oidc = { issuer = "https://id.example", client_id = "shop" }, and auth =
    "login" in a [[route]]
authorization authorize acl_plugin rbac satisfy stick_table_auth
    a check is [auth.NAME] with jwt, api_key, basic, forward, mtls or oidc; a [[route]] names it:
    auth = "staff", auth = { all = ["staff", "keys"] }
rate_limit rate_limits ratelimit rate_limiting limit_req limit_req_zone limit_conn limit_rate
local_rate_limit throttle throttling in_flight_req rps burst quota stick_table limit_conn_zone
limit_connections concurrency_limit
    write rate = { limit = "100/s", burst = 200, key = "client" } in a [[route]]
cache proxy_cache proxy_cache_path caching expires cache_control etag
    Spangate does not cache
root alias file_server try_files static static_files index autoindex templates php_fastcgi
fastcgi_pass uwsgi_pass directory serve
    Spangate serves no files: route to a server that does, or answer a text with `respond`
allow_origin allowed_origins access_control_allow_origin access_control_allow_origin_list
cors_policy
    write cors = { origins = ["https://shop.example"] } in a [[route]]
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
ip_allow_list ip_white_list ip_allowlist ip_restriction source_range whitelist allowlist
    write allow = ["10.0.0.0/8"] in a [[route]]; `deny` is there too
blacklist blocklist denylist block
    write deny = ["10.0.0.0/8"] in a [[route]]
geoip bot_detection waf
    Spangate does not look for that: a server of yours may decide, [auth.NAME] forward
lua script scripts wasm ext_proc access_by_lua content_by_lua js njs
    Spangate runs no code of yours
stream streams tcp_routes layer4
    write protocol = "tcp" and to = "NAME" in [[listen]]
udp
    Spangate passes on no UDP
fault fault_injection abort delay chaos
    Spangate makes no faults on purpose yet
""")
