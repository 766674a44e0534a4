"""Objects of the Gateway API as far as they are used here (gateway.networking.k8s.io, v1).

What a specification may say and has no field here makes the object unreadable, by the field's
name: what is not understood is refused and not passed over. Values are judged where they are used,
so that the reason can stand in a condition.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field


class Meta(Struct, frozen=True, rename="camel"):
    """Of any object."""

    name: str = ""
    namespace: str = ""
    generation: int = 0
    creation_timestamp: str | None = None  # RFC 3339, so that texts compare as times do
    resource_version: str = ""


class Condition(Struct, frozen=True, rename="camel"):
    """One of a status (metav1.Condition)."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    observed_generation: int = 0


class Reference(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Of an object by its name; "" = what is usual at the place, None = nothing is said."""

    name: str = ""
    group: str | None = None
    kind: str | None = None
    namespace: str | None = None
    port: int | None = None
    section_name: str | None = None


class ClassSpec(Struct, frozen=True, rename="camel"):
    controller_name: str = ""
    parameters_ref: Any = None


class Conditioned(Struct, frozen=True, rename="camel"):
    """A status that is conditions alone."""

    conditions: list[Condition] = field(default_factory=list)


class GatewayClass(Struct, frozen=True):
    metadata: Meta
    spec: ClassSpec = field(default_factory=ClassSpec)
    status: Conditioned = field(default_factory=Conditioned)


class ListenerTls(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    mode: str = "Terminate"
    certificate_refs: list[Reference] = field(default_factory=list)
    frontend_validation: Any = None
    options: dict[str, str] = field(default_factory=dict)


class Expression(Struct, frozen=True, rename="camel"):
    key: str
    operator: str
    values: list[str] | None = None


class Selector(Struct, frozen=True, rename="camel"):
    """Of labels (metav1.LabelSelector)."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Expression] | None = None


class From(Struct, frozen=True, rename={"wanted": "from", "selector": "selector"}):
    """Namespaces whose routes may attach."""

    wanted: str = "Same"
    selector: Selector | None = None


class Kind(Struct, frozen=True, rename="camel"):
    kind: str = ""
    group: str | None = None


class AllowedRoutes(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    namespaces: From = field(default_factory=From)
    kinds: list[Kind] = field(default_factory=list)


class Listener(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    name: str = ""
    port: int = 0
    protocol: str = ""
    hostname: str = ""
    tls: ListenerTls | None = None
    allowed_routes: AllowedRoutes = field(default_factory=AllowedRoutes)
    fault: str = field(default="", name="-")  # why it cannot be used; see `salvage.py`


class Address(Struct, frozen=True, rename="camel"):
    value: str = ""
    type: str | None = None


class Infrastructure(Struct, frozen=True, rename="camel"):
    parameters_ref: Any = None


class GatewaySpec(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    gateway_class_name: str = ""
    listeners: list[Listener] = field(default_factory=list)
    addresses: list[Address] = field(default_factory=list)
    infrastructure: Infrastructure | None = None
    tls: Any = None  # of all listeners: client certificates
    backend_tls: Any = field(default=None, name="backendTLS")
    allowed_listeners: Any = None
    default_scope: Any = None


class ListenerStatus(Struct, frozen=True, rename="camel"):
    name: str = ""
    supported_kinds: list[Kind] | None = None
    attached_routes: int = 0
    conditions: list[Condition] = field(default_factory=list)


class GatewayStatus(Struct, frozen=True, rename="camel"):
    addresses: list[Address] | None = None
    conditions: list[Condition] = field(default_factory=list)
    listeners: list[ListenerStatus] | None = None


class Gateway(Struct, frozen=True):
    metadata: Meta
    spec: GatewaySpec = field(default_factory=GatewaySpec)
    status: GatewayStatus = field(default_factory=GatewayStatus)


class PathMatch(Struct, frozen=True, forbid_unknown_fields=True):
    type: str = "PathPrefix"
    value: str = "/"


class ValueMatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Of a header field or a query parameter."""

    name: str = ""
    value: str = ""
    type: str = "Exact"


class HttpMatch(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    path: PathMatch = field(default_factory=PathMatch)
    headers: list[ValueMatch] = field(default_factory=list)
    query_params: list[ValueMatch] = field(default_factory=list)
    method: str = ""


class MethodMatch(Struct, frozen=True, forbid_unknown_fields=True):
    type: str = "Exact"
    service: str = ""
    method: str = ""


class GrpcMatch(Struct, frozen=True, forbid_unknown_fields=True):
    method: MethodMatch = field(default_factory=MethodMatch)
    headers: list[ValueMatch] = field(default_factory=list)


class Field(Struct, frozen=True, forbid_unknown_fields=True):
    """Of a message's head."""

    name: str
    value: str


class Edits(Struct, frozen=True, forbid_unknown_fields=True):
    set: list[Field] = field(default_factory=list)
    add: list[Field] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)


class PathChange(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    type: str = ""
    replace_full_path: str | None = None
    replace_prefix_match: str | None = None


class Redirect(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    scheme: str = ""
    hostname: str = ""
    path: PathChange | None = None
    port: int | None = None
    status_code: int = 302


class UrlRewrite(Struct, frozen=True, forbid_unknown_fields=True):
    hostname: str = ""
    path: PathChange | None = None


class Fraction(Struct, frozen=True):
    numerator: int = 0
    denominator: int = 100


class MirrorTo(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    backend_ref: Reference = field(default_factory=Reference)
    percent: int | None = None
    fraction: Fraction | None = None


class CorsRule(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    allow_origins: list[str] = field(default_factory=list)
    allow_credentials: bool = False
    allow_methods: list[str] = field(default_factory=list)
    allow_headers: list[str] = field(default_factory=list)
    expose_headers: list[str] = field(default_factory=list)
    max_age: int = 5


class Filter(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    type: str = ""
    request_header_modifier: Edits | None = None
    response_header_modifier: Edits | None = None
    request_mirror: MirrorTo | None = None
    request_redirect: Redirect | None = None
    url_rewrite: UrlRewrite | None = None
    cors: CorsRule | None = None
    external_auth: Any = None
    extension_ref: Any = None


class BackendRef(Struct, frozen=True, forbid_unknown_fields=True):
    name: str = ""
    group: str | None = None
    kind: str | None = None
    namespace: str | None = None
    port: int | None = None
    weight: int = 1
    filters: list[Filter] = field(default_factory=list)


class Timeouts(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    request: str | None = None
    backend_request: str | None = None


class RetryRule(Struct, frozen=True, forbid_unknown_fields=True):
    codes: list[int] = field(default_factory=list)
    attempts: int | None = None
    backoff: str | None = None


class HttpRule(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    name: str = ""
    matches: list[HttpMatch] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    backend_refs: list[BackendRef] = field(default_factory=list)
    timeouts: Timeouts | None = None
    retry: RetryRule | None = None
    session_persistence: Any = None
    fault: str = field(default="", name="-")  # why it cannot be used; see `salvage.py`


class GrpcRule(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    name: str = ""
    matches: list[GrpcMatch] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    backend_refs: list[BackendRef] = field(default_factory=list)
    session_persistence: Any = None
    fault: str = field(default="", name="-")  # why it cannot be used; see `salvage.py`


class HttpRouteSpec(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    parent_refs: list[Reference] = field(default_factory=list)
    hostnames: list[str] = field(default_factory=list)
    rules: list[HttpRule] = field(default_factory=lambda: [HttpRule()])
    use_default_gateways: Any = None


class GrpcRouteSpec(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    parent_refs: list[Reference] = field(default_factory=list)
    hostnames: list[str] = field(default_factory=list)
    rules: list[GrpcRule] = field(default_factory=lambda: [GrpcRule()])
    use_default_gateways: Any = None


class ParentStatus(Struct, frozen=True, rename="camel"):
    parent_ref: dict[str, Any] = field(default_factory=dict)
    controller_name: str = ""
    conditions: list[Condition] = field(default_factory=list)


class RouteStatus(Struct, frozen=True):
    parents: list[ParentStatus] = field(default_factory=list)


class HttpRoute(Struct, frozen=True):
    metadata: Meta
    spec: HttpRouteSpec = field(default_factory=HttpRouteSpec)
    status: RouteStatus = field(default_factory=RouteStatus)


class GrpcRoute(Struct, frozen=True):
    metadata: Meta
    spec: GrpcRouteSpec = field(default_factory=GrpcRouteSpec)
    status: RouteStatus = field(default_factory=RouteStatus)
