"""What an API server holds objects to: JSON schemas of what the tests put there, written after the
published ones, and a judge that is as strict about unknown fields as `fieldValidation=Strict`.

Sources: the CRDs of Gateway API v1.4 (gateway-api.sigs.k8s.io/reference/spec, standard channel:
required fields, enumerations, lengths, patterns and defaults), and the OpenAPI of Kubernetes 1.34
(kubernetes.io/docs/reference/kubernetes-api) for core objects, of which only the fields that are
used here are listed.
"""

from __future__ import annotations

import copy
from typing import Any

from jsonschema import Draft202012Validator

Schema = dict[str, Any]

GATEWAY = "gateway.networking.k8s.io"
HOST = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
KIND = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
CONTROLLER = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/[A-Za-z0-9\/\-._~%!$&'()*+,;=:]+$"  # noqa: E501
REASON = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
TYPE = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"  # noqa: E501
TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
FIELD = r"^[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+$"
DURATION = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"


def text(most: int = 253, least: int = 1, pattern: str = "", default: str | None = None) -> Schema:
    made: Schema = {"type": "string", "minLength": least, "maxLength": most}
    made |= {"pattern": pattern} if pattern else {}
    return {**made, "default": default} if default is not None else made


def one_of(*words: str, default: str | None = None) -> Schema:
    made: Schema = {"type": "string", "enum": list(words)}
    return {**made, "default": default} if default is not None else made


def number(least: int, most: int, default: int | None = None) -> Schema:
    made: Schema = {"type": "integer", "minimum": least, "maximum": most}
    return {**made, "default": default} if default is not None else made


def table(required: str = "", **properties: Schema) -> Schema:
    """An object of these fields and no others; a name that is a keyword has "_" at its end."""
    known = {name.rstrip("_"): schema for name, schema in properties.items()}
    made: Schema = {"type": "object", "properties": known, "additionalProperties": False}
    return {**made, "required": required.split()} if required else made


def listed(items: Schema, most: int = 0, least: int = 0) -> Schema:
    made: Schema = {"type": "array", "items": items, "minItems": least}
    return {**made, "maxItems": most} if most else made


ANYTHING: Schema = {}
STRINGS: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
PORT = number(1, 65535)
GROUP = {"type": "string", "maxLength": 253}

CONDITION = table(
    "type status reason message lastTransitionTime",
    type=text(316, 1, TYPE),
    status=one_of("True", "False", "Unknown"),
    reason=text(1024, 1, REASON),
    message=text(32768, 0),
    lastTransitionTime=text(40, 1, TIME),
    observedGeneration=number(0, 2**63 - 1),
)
CONDITIONS = {**listed(CONDITION, 8), "x-unique": "type"}
PARENT = table(
    "name",
    group={**GROUP, "default": GATEWAY},
    kind=text(63, 1, KIND, "Gateway"),
    namespace=text(63, 1, LABEL),
    name=text(253),
    sectionName=text(253, 1, NAME),
    port=PORT,
)
BACKEND = {
    "group": {**GROUP, "default": ""},
    "kind": text(63, 1, KIND, "Service"),
    "namespace": text(63, 1, LABEL),
    "name": text(253),
    "port": PORT,
}
EDITS = table(
    set=listed(table("name value", name=text(256, 1, FIELD), value=text(4096)), 16),
    add=listed(table("name value", name=text(256, 1, FIELD), value=text(4096)), 16),
    remove=listed({"type": "string"}, 16),
)
PATH_CHANGE = table(
    "type",
    type=one_of("ReplaceFullPath", "ReplacePrefixMatch"),
    replaceFullPath=text(1024, 0),
    replacePrefixMatch=text(1024, 0),
)
FILTERS = {
    "requestHeaderModifier": EDITS,
    "responseHeaderModifier": EDITS,
    "requestMirror": table(
        "backendRef",
        backendRef=table("name", **BACKEND),
        percent=number(0, 100),
        fraction=table("numerator", numerator=number(0, 2**31), denominator=number(1, 2**31, 100)),
    ),
    "extensionRef": table("group kind name", group=GROUP, kind=text(63), name=text()),
}
HTTP_FILTER = table(
    "type",
    type=one_of(
        "RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "RequestRedirect",
        "URLRewrite", "ExtensionRef", "CORS",
    ),
    requestRedirect=table(
        scheme=one_of("http", "https"),
        hostname=text(253, 1, HOST),
        path=PATH_CHANGE,
        port=PORT,
        statusCode={"enum": [301, 302, 303, 307, 308], "default": 302},
    ),
    urlRewrite=table(hostname=text(253, 1, HOST), path=PATH_CHANGE),
    cors=table(
        allowOrigins=listed({"type": "string"}, 64), allowCredentials={"type": "boolean"},
        allowMethods=listed({"type": "string"}, 9), allowHeaders=listed({"type": "string"}, 64),
        exposeHeaders=listed({"type": "string"}, 64), maxAge=number(1, 2**31, 5),
    ),
    **FILTERS,
)  # fmt: skip
GRPC_FILTER = table(
    "type",
    type=one_of("RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror", "ExtensionRef"),
    **FILTERS,
)
VALUE_MATCH = table(
    "name value",
    type=one_of("Exact", "RegularExpression", default="Exact"),
    name=text(256, 1, FIELD),
    value=text(4096),
)
HTTP_MATCH = table(
    path={
        **table(
            type=one_of("Exact", "PathPrefix", "RegularExpression", default="PathPrefix"),
            value=text(1024, 0, "", "/"),
        ),
        "default": {"type": "PathPrefix", "value": "/"},
    },
    headers=listed(VALUE_MATCH, 16),
    queryParams=listed(VALUE_MATCH, 16),
    method=one_of(
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"
    ),
)  # fmt: skip


def backends(filter_: Schema) -> Schema:
    weight = number(0, 1_000_000, 1)
    return listed(table("name", weight=weight, filters=listed(filter_, 16), **BACKEND), 16)


def route(rule: Schema) -> Schema:
    status = table(
        "parents",
        parents=listed(
            table(
                "parentRef controllerName conditions",
                parentRef=PARENT,
                controllerName=text(253, 1, CONTROLLER),
                conditions={**CONDITIONS, "minItems": 1},
            ),
            32,
        ),
    )
    spec = table(
        parentRefs=listed(PARENT, 32),
        hostnames=listed(text(253, 1, HOST), 16),
        rules=listed(rule, 16, 1),
    )
    return table("spec", spec=spec, status=status)


HTTP_RULE = table(
    name=text(253, 1, NAME),
    matches={
        **listed(HTTP_MATCH, 64),
        "default": [{"path": {"type": "PathPrefix", "value": "/"}}],
    },
    filters=listed(HTTP_FILTER, 16),
    backendRefs=backends(HTTP_FILTER),
    timeouts=table(request=text(20, 1, DURATION), backendRequest=text(20, 1, DURATION)),
    retry=table(
        codes=listed(number(400, 599)), attempts={"type": "integer"}, backoff=text(20, 1, DURATION)
    ),
    sessionPersistence=ANYTHING,
)
GRPC_RULE = table(
    name=text(253, 1, NAME),
    matches=listed(
        table(
            method=table(
                type=one_of("Exact", "RegularExpression", default="Exact"),
                service=text(1024),
                method=text(1024),
            ),
            headers=listed(VALUE_MATCH, 16),
        ),
        64,
    ),
    filters=listed(GRPC_FILTER, 16),
    backendRefs=backends(GRPC_FILTER),
)
SELECTOR = table(
    matchLabels=STRINGS,
    matchExpressions=listed(
        table(
            "key operator",
            key={"type": "string"},
            operator={"type": "string"},
            values=listed({"type": "string"}),
        )
    ),
)
LISTENER = table(
    "name port protocol",
    name=text(253, 1, NAME),
    hostname=text(253, 1, HOST),
    port=PORT,
    protocol=text(255),
    tls=table(
        mode=one_of("Terminate", "Passthrough", default="Terminate"),
        certificateRefs=listed(
            table(
                "name",
                group={**GROUP, "default": ""},
                kind=text(63, 1, KIND, "Secret"),
                namespace=text(63, 1, LABEL),
                name=text(253),
            ),
            64,
        ),
        options=STRINGS,
    ),
    allowedRoutes={
        **table(
            namespaces={
                **table(
                    from_=one_of("All", "Selector", "Same", "None", default="Same"),
                    selector=SELECTOR,
                ),
                "default": {"from": "Same"},
            },
            kinds=listed(
                table("kind", group={**GROUP, "default": GATEWAY}, kind=text(63, 1, KIND)), 8
            ),
        ),
        "default": {"namespaces": {"from": "Same"}},
    },
)
ADDRESS = table("value", type=text(253, 1, "", "IPAddress"), value=text(253))
GATEWAY_SCHEMA = table(
    "spec",
    spec=table(
        "gatewayClassName listeners",
        gatewayClassName=text(253),
        listeners={**listed(LISTENER, 64, 1), "x-unique": "name"},
        addresses=listed(ADDRESS, 16),
        infrastructure=ANYTHING,
        tls=ANYTHING,
    ),
    status=table(
        addresses=listed(ADDRESS, 16),
        conditions=CONDITIONS,
        listeners=listed(
            table(
                "name attachedRoutes conditions",
                name=text(253, 1, NAME),
                supportedKinds=listed(
                    table("kind", group={**GROUP, "default": GATEWAY}, kind=text(63, 1, KIND)), 8
                ),
                attachedRoutes=number(0, 2**31),
                conditions=CONDITIONS,
            ),
            64,
        ),
    ),
)
POLICY = table(
    "spec",
    spec=table(
        "targetRefs validation",
        targetRefs=listed(
            table(
                "group kind name", group=GROUP, kind=text(63, 1, KIND), name=text(253),
                sectionName=text(253, 1, NAME),
            ), 16, 1,
        ),
        validation=table(
            "hostname",
            hostname=text(253, 1, NAME),
            caCertificateRefs=listed(
                table("group kind name", group=GROUP, kind=text(63, 1, KIND), name=text(253)), 8
            ),
            wellKnownCACertificates=one_of("System"),
            subjectAltNames=listed(
                table("type", type=one_of("Hostname", "URI"), hostname=text(253), uri=text(253)), 5
            ),
        ),
        options=STRINGS,
    ),
    status=table(
        "ancestors",
        ancestors=listed(
            table(
                "ancestorRef controllerName conditions",
                ancestorRef=PARENT,
                controllerName=text(253, 1, CONTROLLER),
                conditions={**CONDITIONS, "minItems": 1},
            ), 16,
        ),
    ),
)  # fmt: skip
GRANT = table(
    "spec",
    spec=table(
        "from to",
        from_=listed(
            table("group kind namespace", group=GROUP, kind=text(63), namespace=text(63)), 16, 1
        ),
        to=listed(table("group kind", group=GROUP, kind=text(63), name=text(253)), 16, 1),
    ),
)
SLICE = table(
    "addressType endpoints",
    addressType=one_of("IPv4", "IPv6", "FQDN"),
    endpoints=listed(
        table(
            "addresses",
            addresses=listed({"type": "string"}, 100, 1),
            conditions=table(
                ready={"type": "boolean"},
                serving={"type": "boolean"},
                terminating={"type": "boolean"},
            ),
            zone={"type": "string"},
            hints=ANYTHING,
        ),
        1000,
    ),
    ports=listed(
        table(
            name=text(63, 0), port=number(1, 65535), protocol=one_of("TCP", "UDP", "SCTP"),
            appProtocol={"type": "string"},
        ), 20000,
    ),
)  # fmt: skip
SERVICE = table(
    spec=table(
        ports=listed(
            table(
                "port", name=text(63, 0), port=PORT, protocol=one_of("TCP", "UDP", default="TCP"),
                targetPort=ANYTHING, appProtocol={"type": "string"},
            )
        ),
        type=one_of("ClusterIP", "NodePort", "LoadBalancer", "ExternalName", default="ClusterIP"),
        selector=STRINGS, clusterIP={"type": "string"}, externalName={"type": "string"},
    ),
    status=ANYTHING,
)  # fmt: skip
INGRESS_BACKEND = table(
    service=table(
        "name",
        name={"type": "string"},
        port=table(name={"type": "string"}, number=number(0, 65535)),
    ),
    resource=ANYTHING,
)
INGRESS = table(
    spec=table(
        ingressClassName={"type": "string"},
        defaultBackend=INGRESS_BACKEND,
        rules=listed(
            table(
                host={"type": "string"},
                http=table(
                    "paths",
                    paths=listed(
                        table(
                            "backend pathType",
                            backend=INGRESS_BACKEND,
                            path={"type": "string"},
                            pathType=one_of("Exact", "Prefix", "ImplementationSpecific"),
                        ),
                        0,
                        1,
                    ),
                ),
            )
        ),
        tls=listed(table(hosts=listed({"type": "string"}), secretName={"type": "string"})),
    ),
    status=table(
        loadBalancer=table(
            ingress=listed(
                table(ip={"type": "string"}, hostname={"type": "string"}, ports=listed(ANYTHING))
            )
        )
    ),
)
SCHEMAS: dict[str, Schema] = {
    "GatewayClass": table(
        "spec",
        spec=table(
            "controllerName",
            controllerName=text(253, 1, CONTROLLER),
            parametersRef=ANYTHING,
            description=text(64, 0),
        ),
        status=table(conditions=CONDITIONS, supportedFeatures=ANYTHING),
    ),
    "Gateway": GATEWAY_SCHEMA,
    "HTTPRoute": route(HTTP_RULE),
    "GRPCRoute": route(GRPC_RULE),
    "ReferenceGrant": GRANT,
    "BackendTLSPolicy": POLICY,
    "Service": SERVICE,
    "EndpointSlice": SLICE,
    "Secret": table(type={"type": "string", "default": "Opaque"}, data=STRINGS),
    "ConfigMap": table(data=STRINGS, binaryData=STRINGS),
    "Namespace": table(spec=ANYTHING, status=ANYTHING),
    "Ingress": INGRESS,
    "IngressClass": table(spec=table(controller=text(250, 1), parameters=ANYTHING)),
}
_validators = {kind: Draft202012Validator(schema) for kind, schema in SCHEMAS.items()}


def judged(kind: str, found: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The object with defaults filled in, as it is stored, and what is wrong with it."""
    meta = {"apiVersion", "kind", "metadata"}
    body = copy.deepcopy({key: value for key, value in found.items() if key not in meta})
    _fill(SCHEMAS[kind], body)
    wrong = [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message[:200]}"
        for error in _validators[kind].iter_errors(body)
    ]
    wrong += _twice(SCHEMAS[kind], body, "")
    return {**{key: found[key] for key in found if key in meta}, **body}, wrong


def _fill(schema: Schema, value: Any) -> None:
    """As defaults of structural schemas are filled in."""
    if isinstance(value, dict):
        for name, below in schema.get("properties", {}).items():
            if name not in value and "default" in below:
                value[name] = copy.deepcopy(below["default"])
            if name in value:
                _fill(below, value[name])
    elif isinstance(value, list):
        for item in value:
            _fill(schema.get("items", {}), item)


def _twice(schema: Schema, value: Any, path: str) -> list[str]:
    """Entries of a list that is a map by one of their fields."""
    if isinstance(value, dict):
        below = schema.get("properties", {})
        return [w for k, v in value.items() for w in _twice(below.get(k, {}), v, f"{path}.{k}")]
    if not isinstance(value, list):
        return []
    key = schema.get("x-unique")
    names = [item.get(key) for item in value if isinstance(item, dict)] if key else []
    found = [f"{path}: {n!r} stands twice" for n in {n for n in names if names.count(n) > 1}]
    items = schema.get("items", {})
    return found + [w for item in value for w in _twice(items, item, path)]
