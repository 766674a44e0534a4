"""The tables about who may come in, as `model.py` has the others."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.config.section import Count, Positive, Section
from proxy.config.units import Seconds, Size

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "HS256", "HS384", "HS512",
]  # fmt: skip


class Jwt(Section, frozen=True):
    """A signed token (RFC 7519, RFC 8725): who signed it, for whom, and what it must say."""

    issuer: str = ""  # `iss`, exactly; "" = any
    audience: list[str] = field(default_factory=list)  # one of them must be in `aud`; [] = any
    jwks: str = ""  # https://… of the issuer's keys (RFC 7517), or the path of a file
    secret: str = ""  # path of the file with the key of HS256, HS384, HS512
    algorithms: list[Algorithm] = field(default_factory=lambda: ["RS256"])  # taken, no others
    scopes: list[str] = field(default_factory=list)  # all must be in `scope` or `scp`, else 403
    # what claims must be: { role = "admin" }, "a.b" = b within a; one of a list is enough
    claims: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)  # to upstreams: { x-user = "sub" }
    # of SERVER spans: { "user.id" = "sub" }
    attributes: dict[str, str] = field(default_factory=dict)
    # where the token is: "header:NAME" ("Bearer " before it may be left out there), "cookie:NAME",
    # "query:NAME"; the first place that has something counts
    places: list[str] = field(default_factory=lambda: ["header:authorization"], name="in")
    typ: str = ""  # what the head's `typ` must be, "at+jwt"; "" = anything
    leeway: Seconds = Seconds(60)  # clocks may differ by this
    require_exp: bool = True  # tokens that never end are refused
    max_age: Seconds = Seconds(0)  # since `iat`; 0 = any
    size: Size = Size(16 * 1024)  # bytes of a token; larger ones are refused
    keep: bool = True  # the upstream sees the token
    refresh: Seconds = Seconds(600)  # how often the keys are fetched, if Cache-Control does not say
    stale: Seconds = Seconds(86400)  # how long keys count after the last answer of the issuer


class ApiKey(Section, frozen=True):
    """A secret that stands for whoever uses it, from a file of hashes."""

    # where it is: "header:NAME", "query:NAME", "cookie:NAME", "bearer"; the first that has one
    places: list[str] = field(default_factory=lambda: ["header:x-api-key"], name="in")
    file: str = ""  # `spangate key add NAME --file` writes it
    keep: bool = False  # the upstream sees the key
    header: str = ""  # to upstreams: the name of whoever the key is of


class Basic(Section, frozen=True):
    """Name and password (RFC 7617)."""

    file: str = ""  # lines of NAME:HASH, argon2id or bcrypt; `spangate password NAME`
    realm: str = "spangate"  # what browsers show
    keep: bool = False  # the upstream sees the password
    header: str = ""  # to upstreams: the name
    cache: Seconds = Seconds(60)  # how long a checked password is not hashed again


class Forward(Section, frozen=True):
    """Another server is asked, by a GET without a body; 2xx lets the request in."""

    to: str = ""  # http://… or https://… of the question
    headers: list[str] = field(default_factory=list)  # of its answer, that upstreams get
    cookies: list[str] = field(default_factory=list)  # that it sets and the client gets: names
    send: list[str] = field(default_factory=list)  # what it gets of the request's; [] = all
    # of SERVER spans: { "user.id" = "x-user" }
    attributes: dict[str, str] = field(default_factory=dict)
    timeout: Seconds = Seconds(1)  # then 503
    cache: Seconds = Seconds(0)  # how long an answer counts for the same question; 0 = never
    # what makes a question the same: "header:NAME", "cookie:NAME", "method", "path", "host",
    # "client" (its address)
    cache_key: list[str] = field(
        default_factory=lambda: ["header:authorization", "header:cookie", "method", "host", "path"]
    )
    body: Size = Size(64 * 1024)  # bytes of a refusal that the client gets; more is 503


class Mtls(Section, frozen=True):
    """The client's certificate, verified by the listener (`client_ca`)."""

    # URI names, "*" at the end stands for anything: "spiffe://partner/*"
    identities: list[str] = field(default_factory=list)
    # subjects (RFC 4514), or one of their parts: "CN=orders", "CN=orders,O=Shop"
    subjects: list[str] = field(default_factory=list)
    header: str = ""  # to upstreams: the name that counted


class Oidc(Section, frozen=True):
    """Login in a browser: OpenID Connect, authorization code with PKCE; the session is a cookie."""

    issuer: str = ""  # whose /.well-known/openid-configuration says the rest
    client_id: str = ""  # how the issuer knows this gateway
    client_secret: str = ""  # "${file:…}"; "" = a public client
    scopes: list[str] = field(default_factory=lambda: ["openid"])  # that are asked for
    callback: str = "/oauth2/callback"  # the path to which the issuer sends browsers back
    logout: str = "/oauth2/logout"  # the path that ends the session; "" = none
    secret: str = ""  # what cookies are sealed with, 32 characters or more: "${file:…}"
    cookie: str = "__Host-spangate"  # its name
    session: Seconds = Seconds(8 * 3600)  # how long it counts
    claims: dict[str, str] = field(default_factory=dict)  # as of `jwt`
    headers: dict[str, str] = field(default_factory=dict)  # to upstreams: { x-user = "sub" }
    attributes: dict[str, str] = field(default_factory=dict)  # of SERVER spans


class Auth(Section, frozen=True):
    """A check by name; exactly one of these."""

    jwt: Jwt | None = None  # signed tokens
    api_key: ApiKey | None = None  # secrets of machines
    basic: Basic | None = None  # names and passwords
    forward: Forward | None = None  # another server decides
    mtls: Mtls | None = None  # client certificates
    oidc: Oidc | None = None  # login in a browser


class AuthUse(Section, frozen=True):
    """Which checks a route asks for. Of the file: "staff", ["staff", "keys"], { all = […] }."""

    any: list[str] = field(default_factory=list)  # one of these lets in
    all: list[str] = field(default_factory=list)  # all of these must
    scopes: list[str] = field(default_factory=list)  # besides those of the checks; else 403
    claims: dict[str, str] = field(default_factory=dict)  # the same

    @property
    def names(self) -> tuple[str, ...]:
        """Of the checks, in the order in which they are asked. () = "none": no check."""
        return (*self.all, *self.any)


class Cors(Section, frozen=True):
    """Which pages of other origins may read answers (Fetch standard §3.3)."""

    # "https://shop.example", "https://*.shop.example", "~regex", "*" = any, "null"
    origins: list[str] = field(default_factory=list)
    methods: list[str] = field(default_factory=lambda: ["GET", "HEAD", "POST"])  # "*" = any
    headers: list[str] = field(default_factory=list)  # that requests may have; "*" = any
    expose: list[str] = field(default_factory=list)  # that pages may read of answers; "*" = any
    credentials: bool = False  # cookies and Authorization may be sent
    max_age: Seconds = Seconds(5)  # how long browsers remember a preflight's answer
    private_network: bool = False  # pages of public sites may call this one on a private network


class SecureHeaders(Section, frozen=True):
    """Lines of answers that make browsers careful; "" = not this one. What upstreams say wins."""

    # Strict-Transport-Security, over TLS alone (RFC 6797 §7.2)
    hsts: str = "max-age=31536000; includeSubDomains"
    content_type_options: str = "nosniff"  # X-Content-Type-Options
    frame_options: str = "DENY"  # X-Frame-Options
    referrer_policy: str = "strict-origin-when-cross-origin"  # Referrer-Policy
    content_security_policy: str = ""  # Content-Security-Policy
    permissions_policy: str = ""  # Permissions-Policy
    cross_origin_opener_policy: str = "same-origin"  # Cross-Origin-Opener-Policy
    cross_origin_resource_policy: str = "same-origin"  # Cross-Origin-Resource-Policy


class PerClient(Section, frozen=True):
    """What one client address may have; IPv6 counts by /64. 0 and "" = any."""

    connections: Count = 0  # open at once
    requests: Count = 0  # under way at once; 429
    new_connections: str = ""  # "50/s"
    size: Positive = 65536  # addresses that are told apart
