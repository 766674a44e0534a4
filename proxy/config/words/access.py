"""What people write into the tables of access control who know another gateway."""

from __future__ import annotations

from proxy.config.words.text import read

AUTH = read("""
basic_auth auth_basic auth_basic_user_file users users_file htpasswd digest_auth
    write basic = { file = "users.htpasswd" }
key_auth api_keys keys consumers
    write api_key = { file = "keys.toml" }
forward_auth auth_request ext_authz auth_url address
    write forward = { to = "http://127.0.0.1:9000/verify", headers = ["x-user"] }
jwt_auth jwt_authn jwt_validation bearer token issuer jwks jwks_uri providers
    write jwt = { issuer = "https://id.example", audience = ["shop"], jwks =
    "https://id.example/jwks" }
oauth2 oauth openid openid_connect client_id
    write oidc = { issuer = "https://id.example", client_id = "shop" }
client_cert client_certificate tls spiffe identities subjects
    write mtls = { identities = ["spiffe://partner/*"] }
ip_allow_list allow deny source_range
    lists of addresses are keys of a [[route]]: allow = ["10.0.0.0/8"]
type kind
    what kind of check it is follows from its key: jwt, api_key, basic, forward, mtls or oidc
""")

JWT = read("""
iss issuers
    write issuer = <"https://id.example">: one text; for several write a check for each
aud audiences
    write audience = ["shop"]
jwks_uri jwks_url remote_jwks local_jwks key_set_url keys_url jwk_set json_web_key_set
    write jwks = <"https://id.example/jwks">, or the path of a file
public_key key key_file pem public_keys
    keys are a JWKS (RFC 7517): write jwks = "keys.json"; for HS256 secret = "hmac.key", a file
alg algs algorithm signing_algorithm allowed_algorithms
    write algorithms = ["RS256", "ES256"]
scope required_scopes
    write scopes = ["orders:read"]
claim_to_headers claims_to_headers forward_headers header_claims claim_headers
    write headers = { x-user = "sub" }
from_headers from_params from_cookies token_lookup sources header cookie query
    write in = ["header:authorization", "cookie:token"]
forward hide_credentials strip
    write keep = false to take the token away from the upstream, true to leave it
clock_skew clock_skew_seconds skew clock_tolerance
    write leeway = <"60s">
required_claims requires claims_to_verify
    write claims = { role = "admin" }
cache_duration cache refresh_interval
    write refresh = <"10m">
max_token_age maximum_expiration max_lifetime
    write max_age = <"1h">
""")

API_KEY = read("""
key_names names header_name header_names headers
    write in = ["header:x-api-key"]
key_in_header key_in_query key_in_body query cookie sources from
    write in = ["header:x-api-key", "query:key"]; bodies are not read
keys key api_keys credentials consumers
    keys are hashes in a file: `spangate key add NAME --file keys.toml` writes it
hide_credentials
    write keep = false, which is the default
""")

BASIC = read("""
users users_file user_file auth_basic_user_file accounts credentials username password htpasswd
    write file = "users.htpasswd"; `spangate password NAME` makes a line of it
remove_header hide_credentials
    write keep = false, which is the default
header_field
    write header = "x-user"
""")

FORWARD = read("""
address url uri auth_url server_uri http_service endpoint
    write to = <"http://127.0.0.1:9000/verify">
auth_response_headers copy_headers allowed_upstream_headers response_headers auth_request_set
    write headers = ["x-user"]
auth_request_headers allowed_headers request_headers forward_headers
    write send = ["cookie", "authorization"]
add_auth_cookies_to_response
    write cookies = ["session"]
trust_forward_header
    X-Forwarded-* are the gateway's own: leave it out
failure_mode_allow fail_open
    who cannot be asked lets nobody in: leave it out
with_request_body forward_body
    bodies are not sent: leave it out
max_body_size max_response_body_size
    write body = <"64KiB">
auth_response_headers_regex
    fields are named one by one: headers = ["x-user"]
""")

MTLS = read("""
spiffe spiffe_id spiffe_ids uri uris san sans trust_domain
    write identities = ["spiffe://partner/*"]
subject cn common_name dn allowed_dn
    write subjects = ["CN=orders"]
ca client_ca ca_cert ca_file
    it belongs to the listener: [[listen]] tls = { client_ca = "clients.pem" }
""")

OIDC = read("""
redirect_uri redirect_url callback_url
    write callback = <"/oauth2/callback">, a path
discovery provider provider_url issuer_url oidc_issuer_url authorization_endpoint token_endpoint
    write issuer = <"https://id.example">: the rest is in its openid-configuration
scope
    write scopes = ["openid", "email"]
cookie_name session_cookie
    write cookie = "__Host-shop"
cookie_secret session_secret hmac_secret encryption_key
    write secret = "${file:/run/secrets/cookies}", 32 characters or more
logout_path signout_path
    write logout = <"/oauth2/logout">
session_lifetime session_duration cookie_expire
    write session = <"8h">
""")

AUTH_USE = read("""
or any_of one_of requires_any satisfy
    write any = ["staff", "keys"]: one of them is enough
and all_of requires_all
    write all = ["partners", "staff"]
check checks name use
    write any = ["staff"], or auth = "staff"
jwt api_key basic forward mtls oidc
    a check is a table of its own, [auth.staff]; a route names it: auth = "staff"
scope required_scopes
    write scopes = ["orders:write"]
""")

CORS = read("""
allow_origin allow_origins allowed_origins origin access_control_allow_origin
access_control_allow_origin_list access_control_allow_origin_list_regex
allow_origin_string_match allowed_origin
    write origins = <["https://shop.example"]>
allow_methods allowed_methods access_control_allow_methods method
    write methods = ["GET", "POST"]
allow_headers allowed_headers access_control_allow_headers header
    write headers = ["content-type"]
expose_headers exposed_headers access_control_expose_headers
    write expose = ["x-total"]
allow_credentials access_control_allow_credentials
    write credentials = true
access_control_max_age maxage
    write max_age = <"600s">
add_vary_header preflight_continue options_success_status
    `Vary` and preflights are answered by themselves: leave it out
allow_private_network
    write private_network = true
""")

SECURE_HEADERS = read("""
sts_seconds sts_include_subdomains sts_preload force_sts_header strict_transport_security
    write hsts = "max-age=31536000; includeSubDomains"
frame_deny x_frame_options custom_frame_options_value
    write frame_options = "DENY"
content_type_nosniff x_content_type_options nosniff
    write content_type_options = "nosniff"
browser_xss_filter x_xss_protection xss_protection
    browsers have dropped it: leave it out
csp content_security
    write content_security_policy = "default-src 'self'"
""")

PER_CLIENT = read("""
max_connections limit_conn conn connection
    write connections = 100
max_requests concurrency in_flight in_flight_req amount
    write requests = 100
rate connection_rate conn_rate new rps
    write new_connections = "50/s"
key by ip
    it is by the true address of the client: leave it out
""")
