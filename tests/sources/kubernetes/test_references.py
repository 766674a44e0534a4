"""What routes and listeners refer to: what resolves, what is refused, and what requests get."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from proxy.config.local_ca import self_signed
from proxy.sources.kubernetes.world import Terms
from tests.sources.kubernetes.kit import outcome_of, routing, told
from tests.sources.kubernetes.objects import (
    Object,
    edge,
    endpoints,
    gateway,
    gateway_class,
    grant,
    listener,
    made,
    orders,
    path,
    route,
    service,
    to,
)


def only(backend: Object) -> Object:
    return {"backendRefs": [backend]}


@pytest.mark.parametrize(
    ("backend", "reason", "words"),
    [
        (to("gone"), "BackendNotFound", "there is no Service shop/gone"),
        (to("orders", 81), "BackendNotFound", "Service shop/orders has no TCP port 81"),
        (to("orders", kind="Pod"), "InvalidKind", "backends of kind Pod are not supported"),
        (to("orders", group="x.io"), "InvalidKind", "are not supported"),
        (to("pay/pay"), "RefNotPermitted", "no ReferenceGrant lets it refer to Service pay/pay"),
        (to("outside"), "BackendNotFound", "ExternalName, which is not supported"),
        (to("odd"), "UnsupportedProtocol", "appProtocol x.io/odd is not supported"),
    ],
)
def test_a_backend_that_is_none_is_answered_500(backend: Object, reason: str, words: str) -> None:
    found = routing(
        *edge(), *orders(), service("pay/pay"), service("shop/outside", type="ExternalName"),
        service("shop/odd", {"port": 80, "appProtocol": "x.io/odd"}),
        route("shop/r", only(backend)),
    )  # fmt: skip
    holds, why, message = told(found.outcome, "HTTPRoute", "shop/r")["ResolvedRefs"]
    assert (holds, why) == (False, reason)
    assert words in message
    assert told(found.outcome, "HTTPRoute", "shop/r")["Accepted"][0]
    assert found.goes("h", "/") == "500"


def test_the_share_of_a_backend_that_is_none_is_answered_500() -> None:
    refs = [to("orders", weight=3), to("gone", weight=1), to("orders", weight=0)]
    found = routing(*edge(), *orders(), route("shop/r", {"backendRefs": refs}))
    taken = found.asked("h", "/")
    assert taken.to == {"shop.orders.80": 3, "kubernetes.nowhere": 1}
    assert found.config.upstream["kubernetes.nowhere"].empty_status == 500


def test_calls_to_nobody_are_unavailable() -> None:
    half = {"backendRefs": [to("orders"), to("gone")]}
    match = {"matches": [{"method": {"service": "s.S"}}]}
    found = routing(
        *edge(),
        *orders(),
        route("shop/a", only(to("gone")), kind="GRPCRoute"),
        route("shop/b", {**half, **match}, kind="GRPCRoute"),
    )
    grpc = {"content-type": "application/grpc"}
    assert found.goes("h", "/x.X/Y", "POST", headers=grpc) == "503"
    assert found.asked("h", "/s.S/Y", "POST", headers=grpc).to == {
        "shop.orders.80.h2": 1, "kubernetes.nowhere.h2": 1,
    }  # fmt: skip
    assert found.config.upstream["kubernetes.nowhere.h2"].empty_status == 503


@pytest.mark.parametrize(
    ("grants", "goes"),
    [
        ([], "500"),
        ([grant("pay", "HTTPRoute", "shop")], "pay"),
        ([grant("pay", "HTTPRoute", "shop", name="pay")], "pay"),
        ([grant("pay", "HTTPRoute", "shop", name="other")], "500"),
        ([grant("pay", "HTTPRoute", "elsewhere")], "500"),
        ([grant("pay", "GRPCRoute", "shop")], "500"),
        ([grant("pay", "HTTPRoute", "shop", "Secret")], "500"),
        ([grant("shop", "HTTPRoute", "shop")], "500"),
    ],
)
def test_another_namespace_is_referred_to_only_by_its_leave(
    grants: list[Object], goes: str
) -> None:
    found = routing(*edge(), service("pay/pay"), route("shop/r", only(to("pay/pay"))), *grants)
    assert found.goes("h", "/") == goes


@pytest.mark.parametrize(
    ("listeners", "parent", "reason"),
    [
        ([listener(routes="All")], {}, "Accepted"),
        ([listener()], {}, "NotAllowedByListeners"),
        ([listener(routes="None")], {}, "NotAllowedByListeners"),
        ([listener(routes="All")], {"sectionName": "other"}, "NoMatchingParent"),
        ([listener(routes="All")], {"port": 81}, "NoMatchingParent"),
        ([listener(routes="All"), listener(81)], {"port": 81}, "NotAllowedByListeners"),
        ([listener(routes="All"), listener(name="twin", routes="All")],
         {"sectionName": "twin"}, "Pending"),
        (
            [{**listener(), "allowedRoutes": {"namespaces": {"from": "All"},
              "kinds": [{"kind": "GRPCRoute"}]}}], {}, "NotAllowedByListeners",
        ),
        (
            [{**listener(), "allowedRoutes": {"namespaces": {
                "from": "Selector", "selector": {"matchLabels": {"team": "a"}}}}}],
            {}, "Accepted",
        ),
        (
            [{**listener(), "allowedRoutes": {"namespaces": {"from": "Selector", "selector": {
                "matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}}}}],
            {}, "NotAllowedByListeners",
        ),
    ],
)  # fmt: skip
def test_listeners_say_whose_routes_they_take(
    listeners: list[Object], parent: Object, reason: str
) -> None:
    parents = [{"name": "edge", "namespace": "infra", **parent}]
    found = routing(
        gateway_class(), gateway("infra/edge", *listeners), *orders(),
        made("Namespace", "shop", metadata={"labels": {"team": "a"}}),
        route("shop/r", parents=parents),
    )  # fmt: skip
    holds, why, _ = told(found.outcome, "HTTPRoute", "shop/r")["Accepted"]
    assert (holds, why) == (reason == "Accepted", reason)
    assert found.goes("h", "/") == ("orders" if holds else "404")
    counts = [one.attached for one in found.outcome.gateways["infra", "edge"].listeners]
    assert sum(counts) == int(holds)


def test_parents_that_are_others_are_left_alone() -> None:
    other = made("Gateway", "infra/other", spec={
        "gatewayClassName": "another", "listeners": [listener(routes="All")]})  # fmt: skip
    parents = [{"name": "other", "namespace": "infra"}, {"name": "s", "kind": "Service"}]
    outcome = outcome_of(*edge(), other, *orders(), route("shop/r", parents=parents))
    assert not outcome.routes
    assert not outcome.given.routes


def test_a_class_of_another_controller_is_not_ours() -> None:
    outcome = outcome_of(
        gateway_class("example.com/other"), gateway("infra/edge"), *orders(), route()
    )
    assert (outcome.classes, outcome.gateways, list(outcome.given.listeners)) == ({}, {}, [])


@pytest.mark.parametrize(
    ("listeners", "wanted"),
    [
        ([listener(80, "a"), {**listener(80, "b"), "protocol": "HTTPS"}], "ProtocolConflict"),
        ([listener(80, "a", hostname="x.io"), listener(80, "b", hostname="x.io")],
         "HostnameConflict"),
        ([listener(80, "a"), {**listener(81, "b"), "protocol": "TCP"}], "UnsupportedProtocol"),
        ([listener(80, "a"), {**listener(81, "b"), "protocol": "x.io/odd"}],
         "UnsupportedProtocol"),
    ],
)  # fmt: skip
def test_listeners_that_cannot_be_are_refused_and_the_others_serve(
    listeners: list[Object], wanted: str
) -> None:
    outcome = outcome_of(gateway_class(), gateway("infra/edge", *listeners))
    first, second = outcome.gateways["infra", "edge"].listeners
    assert all(one.holds for one in first.told if one.type == "Accepted")
    assert [(one.holds, one.reason) for one in second.told if one.type == "Accepted"] == [
        (False, wanted)
    ]
    assert [table["address"] for table in outcome.given.listeners] == [":80"]
    assert outcome.gateways["infra", "edge"].told[0][:3] == ("Accepted", True, "ListenersNotValid")


def test_names_that_overlap_on_a_port_with_tls_are_told() -> None:
    """Of gateway-overlapping-tls-config-hostnames."""
    names = {"a": "foo.example.com", "b": "foo.example.org", "c": "*.example.com"}
    doors = [https(name, "cert", hostname=host) for name, host in names.items()]
    plain = [listener(80, name, hostname=host) for name, host in names.items()]
    renamed = [{**door, "name": f"plain-{door['name']}"} for door in plain]
    outcome = outcome_of(gateway_class(), gateway("infra/edge", *doors, *renamed))
    overlapping = {
        one.name: condition.reason
        for one in outcome.gateways["infra", "edge"].listeners
        for condition in one.told
        if condition.type == "OverlappingTLSConfig"
    }
    assert overlapping == {"a": "OverlappingHostnames", "c": "OverlappingHostnames"}


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"addresses": [{"type": "x.io/odd", "value": "a"}]}, "UnsupportedAddress", "x.io/odd"),
        (
            {"infrastructure": {"parametersRef": {"name": "x"}}},
            "InvalidParameters",
            "parametersRef",
        ),
        ({"tls": {"frontend": {"default": {}}}}, "Invalid", "spec.tls is not supported"),
        ({"http3": True}, "Invalid", "http3"),
    ],
)
def test_gateways_that_cannot_be_are_refused(spec: Object, reason: str, words: str) -> None:
    edge_ = gateway("infra/edge", listener(routes="All"), spec=spec)
    outcome = outcome_of(gateway_class(), edge_, *orders(), route(), strict=False)
    (first,) = outcome.gateways["infra", "edge"].told
    assert (first.type, first.holds, first.reason) == ("Accepted", False, reason)
    assert words in first.message
    assert not outcome.given.listeners
    assert not told(outcome, "HTTPRoute", "shop/orders")["Accepted"][0]


def test_addresses_that_are_others_are_not_programmed() -> None:
    edge_ = gateway(spec={"addresses": [{"value": "192.0.2.1"}]})
    for addresses, why in [
        ((), "address 192.0.2.1 is none of this gateway's"),
        (("192.0.2.1",), ""),
    ]:
        outcome = outcome_of(gateway_class(), edge_, terms=Terms(addresses=addresses))
        found = outcome.gateways["infra", "edge"]
        assert (found.is_accepted, found.why) == (True, why)


def test_routes_that_are_not_accepted_do_not_count() -> None:
    odd = {"filters": [{"type": "Odd"}], "backendRefs": [to("orders")]}
    outcome = outcome_of(*edge(), *orders(), route(), route("shop/odd", odd), strict=False)
    assert [one.attached for one in outcome.gateways["infra", "edge"].listeners] == [1]


def test_ports_may_be_bound_as_others() -> None:
    outcome = outcome_of(gateway_class(), gateway("infra/edge"), terms=Terms(ports={80: 8080}))
    assert outcome.given.listeners == [{"address": ":8080", "name": "kubernetes:80"}]


def secret(name: str, cert: bytes, key: bytes, kind: str = "kubernetes.io/tls") -> Object:
    data = {"tls.crt": b64encode(cert).decode(), "tls.key": b64encode(key).decode()}
    return made("Secret", name, type=kind, data=data)


def https(name: str, *secrets: Any, **more: Any) -> Object:
    refs = [{"name": one} if isinstance(one, str) else one for one in secrets]
    return listener(443, name, protocol="HTTPS", tls={"certificateRefs": refs}, **more)


def test_listeners_have_the_certificates_of_their_secrets() -> None:
    a, b = self_signed(["a.example"]), self_signed(["b.example"])
    found = routing(
        gateway_class(),
        gateway(
            "infra/edge",
            https("a", "a", hostname="a.example", routes="All"),
            https("b", "b", "a", hostname="b.example"),
            listener(routes="All"),
        ),
        *orders(),
        route(),
        secret("infra/a", *a),
        secret("infra/b", *b),
    )
    plain, tls = found.config.listen
    assert (plain.address, plain.tls, tls.address) == (":80", None, ":443")
    assert tls.tls is not None
    assert tls.tls.cert == "source:infra/a"
    assert [one.cert for one in tls.tls.certificates] == ["source:infra/b"]
    assert found.outcome.secrets == {("infra", "a"), ("infra", "b")}
    assert found.goes("a.example", "/", listener="kubernetes:443") == "orders"
    assert found.goes("b.example", "/", listener="kubernetes:443") == "404"
    assert found.goes("b.example", "/") == "orders"


def bad_secrets() -> list[tuple[list[Object], Any, str, str]]:
    a, b = self_signed(["a.example"]), self_signed(["b.example"])
    elsewhere = {"name": "a", "namespace": "certs"}
    leave = grant("certs", "Gateway", "infra", "Secret")
    wrong = grant("certs", "Gateway", "other", "Secret")
    invalid = "InvalidCertificateRef"
    return [
        ([], "a", invalid, "there is no Secret infra/a"),
        ([secret("infra/a", a[0], b[1])], "a", invalid, "does not belong"),
        ([secret("infra/a", b"x", b[1])], "a", invalid, "holds no certificate"),
        ([secret("infra/a", *a, kind="Opaque")], "a", invalid, "of type Opaque"),
        ([made("Secret", "infra/a", data={"tls.crt": "?"})], "a", invalid, "Opaque"),
        ([], {"name": "a", "kind": "ConfigMap"}, invalid, "ConfigMap is no Secret"),
        ([secret("certs/a", *a)], elsewhere, "RefNotPermitted", "no ReferenceGrant"),
        ([secret("certs/a", *a), wrong], elsewhere, "RefNotPermitted", "no ReferenceGrant"),
        ([secret("certs/a", *a), leave], elsewhere, "", ""),
    ]


@pytest.mark.parametrize("case", range(9))
def test_certificates_that_cannot_be_used_are_refused(case: int) -> None:
    objects, reference, reason, words = bad_secrets()[case]
    edge_ = gateway("infra/edge", https("s", reference), listener(80, "plain"))
    outcome = outcome_of(gateway_class(), edge_, *objects)
    first = outcome.gateways["infra", "edge"].listeners[0]
    resolved = next(one for one in first.told if one.type == "ResolvedRefs")
    assert (resolved.holds, resolved.reason) == (not reason, reason or "ResolvedRefs")
    assert words in resolved.message
    assert first.is_open is not bool(reason)
    addresses = [table["address"] for table in outcome.given.listeners]
    assert addresses == ([":80"] if reason else [":80", ":443"])


def policy(name: str = "shop/tls", target: str = "orders", **more: Any) -> Object:
    said = {"hostname": "orders.shop", "wellKnownCACertificates": "System"}
    said |= more.pop("validation", {})
    said = {key: value for key, value in said.items() if value}
    reference = {"group": "", "kind": "Service", "name": target, **more.pop("port", {})}
    spec = {"targetRefs": [reference], "validation": said, **more.pop("spec", {})}
    return made("BackendTLSPolicy", name, spec=spec, metadata=more)


def test_a_policy_says_how_servers_are_verified() -> None:
    cert, _ = self_signed(["orders.shop"])
    authority = made("ConfigMap", "shop/ca", data={"ca.crt": cert.decode()})
    refs = [{"group": "", "kind": "ConfigMap", "name": "ca"}]
    names = [{"type": "URI", "uri": "spiffe://mesh/orders"}]
    said = {"wellKnownCACertificates": "", "caCertificateRefs": refs, "subjectAltNames": names}
    found = routing(*edge(), *orders(), route(), authority, policy(validation=said))
    upstream = found.config.upstream["shop.orders.80"]
    assert upstream.discover == "source+https"
    assert upstream.tls.ca == "source:shop/tls"
    assert upstream.tls.server_name == "orders.shop"
    assert upstream.tls.identities == ["spiffe://mesh/orders"]
    assert found.outcome.ports["shop.orders.80"].scheme == "https"
    assert found.outcome.policies["shop", "tls"].gateways == [("infra", "edge")]
    assert all(one.holds for one in found.outcome.policies["shop", "tls"].told)


@pytest.mark.parametrize(
    ("one", "reason", "words"),
    [
        (policy(spec={"options": {"x": "y"}}), "Invalid", "options are not supported: x"),
        (policy(validation={"wellKnownCACertificates": ""}), "Invalid", "needs one of"),
        (
            policy(validation={"wellKnownCACertificates": "", "caCertificateRefs": [
                {"group": "", "kind": "ConfigMap", "name": "gone"}]}),
            "NoValidCACertificate", "there is no ConfigMap shop/gone",
        ),
        (
            policy(validation={"subjectAltNames": [{"type": "Hostname", "hostname": "b.shop"}]}),
            "Invalid", "only the hostname itself",
        ),
    ],
)  # fmt: skip
def test_a_policy_that_cannot_be_followed_leaves_no_way(
    one: Object, reason: str, words: str
) -> None:
    found = routing(*edge(), *orders(), route(), one)
    first = found.outcome.policies["shop", "tls"].told[0]
    assert (first.holds, first.reason) == (False, reason)
    assert words in first.message
    assert found.goes("h", "/") == "500", "and not in plain text"


def test_a_policy_for_something_else_changes_nothing() -> None:
    other = policy(port={"kind": "Backend", "group": "x.io"})
    found = routing(*edge(), *orders(), route(), other)
    assert found.goes("h", "/") == "orders"
    assert found.config.upstream["shop.orders.80"].discover == "source"
    assert found.outcome.policies["shop", "tls"].gateways == []


def test_of_two_policies_the_older_counts_and_one_for_a_port_before_both() -> None:
    older = policy("shop/older", creationTimestamp="2026-01-01T00:00:00Z")
    newer = policy("shop/newer", creationTimestamp="2026-01-02T00:00:00Z")
    port = policy("shop/port", port={"sectionName": "p80"}, validation={"hostname": "port.shop"})
    found = outcome_of(*edge(), *orders(), route(), older, newer)
    assert found.policies["shop", "newer"].told[0][:3] == ("Accepted", False, "Conflicted")
    assert found.policies["shop", "older"].told[0].holds
    found = outcome_of(*edge(), *orders(), route(), older, port)
    assert found.given.upstreams["shop.orders.80"]["tls"]["server_name"] == "port.shop"


def test_servers_speak_what_the_port_says() -> None:
    h2c = service("shop/h", {"port": 80, "appProtocol": "kubernetes.io/h2c"})
    ws = service("shop/w", {"port": 80, "appProtocol": "kubernetes.io/ws"})
    found = outcome_of(
        *edge(), h2c, ws, route("shop/h", only(to("h"))), route("shop/w", only(to("w")))
    )
    assert found.given.upstreams == {
        "shop.h.80.h2": {"discover": "source", "protocol": "h2"},
        "shop.w.80": {"discover": "source"},
    }


def test_names_of_upstreams_are_short_enough_and_differ() -> None:
    long = ["a" * 40 + "-1", "a" * 40 + "-2"]
    rules = [only(to(f"{'n' * 30}/{one}")) for one in long]
    leave = grant("n" * 30, "HTTPRoute", "shop")
    services = [service(f"{'n' * 30}/{one}") for one in long]
    found = routing(*edge(), *services, leave, route("shop/r", *rules))
    assert len(found.config.upstream) == 2


def test_ingress_by_host_and_path_with_a_default() -> None:
    def backend(service_name: str, **port: Any) -> Object:
        return {"service": {"name": service_name, "port": port}}

    def at(where: str, to_: Object, kind: str = "Prefix") -> Object:
        return {"path": where, "pathType": kind, "backend": to_}

    rules = [
        {"host": "a.example", "http": {"paths": [
            at("/", backend("one", number=80)), at("/x", backend("two", name="p80")),
            at("/x/y", backend("three", number=80), "Exact"),
            at("/gone", backend("gone", number=1)),
        ]}},
        {"http": {"paths": [at("/every", backend("two", number=80), "ImplementationSpecific")]}},
    ]  # fmt: skip
    cert = self_signed(["a.example"])
    spec = {
        "ingressClassName": "spangate", "rules": rules, "tls": [{"secretName": "cert"}],
        "defaultBackend": backend("four", number=80),
    }  # fmt: skip
    services = [service(f"shop/{name}") for name in ("one", "two", "three", "four")]
    other = made("Ingress", "shop/other", spec={**spec, "ingressClassName": "nginx"})
    found = routing(
        *services, made("Ingress", "shop/web", spec=spec), other, secret("shop/cert", *cert)
    )
    for listener_ in ("kubernetes:80", "kubernetes:443"):
        for host, where, goes in [
            ("a.example", "/", "one"), ("a.example", "/x", "two"), ("a.example", "/x/y", "three"),
            ("a.example", "/x/y/z", "two"), ("a.example", "/gone", "500"),
            ("b.example", "/every/thing", "two"), ("b.example", "/", "four"),
        ]:  # fmt: skip
            assert found.goes(host, where, listener=listener_) == goes
    assert len(found.config.listen) == 2
    assert found.outcome.ingresses == [("shop", "web")]
    assert any("no Service shop/gone" in one for one in found.outcome.given.left_out)


@pytest.mark.parametrize(
    ("spec", "classes", "is_ours"),
    [
        ({}, [], False),
        ({"ingressClassName": "spangate"}, [], True),
        ({"ingressClassName": "nginx"}, [], False),
        ({"ingressClassName": "spangate"}, ["x.io/other"], False),
        ({}, ["spangate.dev/gateway"], True),
    ],
)
def test_whose_ingresses_are_ours(spec: Object, classes: list[str], is_ours: bool) -> None:
    default = {"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}
    known = [
        made("IngressClass", "spangate", spec={"controller": one}, metadata=default)
        for one in classes
    ]
    backend = {"service": {"name": "orders", "port": {"number": 80}}}
    web = made("Ingress", "shop/web", spec={**spec, "defaultBackend": backend})
    found = routing(*orders(), web, *known)
    assert found.goes("h", "/") == ("orders" if is_ours else "404")


@pytest.mark.parametrize(
    ("slices", "found"),
    [
        ([endpoints("shop/orders", "10.0.0.1")], {"http://10.0.0.1:8080"}),
        ([endpoints("shop/orders", "fd00::1", family="IPv6")], {"http://[fd00::1]:8080"}),
        ([endpoints("shop/orders", "10.0.0.1"), endpoints("shop/orders", "10.0.0.1", "10.0.0.2",
          suffix="b")], {"http://10.0.0.1:8080", "http://10.0.0.2:8080"}),
        ([endpoints("shop/orders", "10.0.0.1", ports={"other": 1})], set()),
        ([endpoints("shop/orders", {"addresses": ["10.0.0.1"], "conditions": {"ready": False}},
          "10.0.0.2")], {"http://10.0.0.2:8080"}),
        ([endpoints("shop/orders", {"addresses": ["10.0.0.1"], "conditions": {
            "ready": False, "serving": True, "terminating": True}})], {"http://10.0.0.1:8080"}),
        ([endpoints("shop/orders", {"addresses": ["10.0.0.1"], "conditions": {
            "ready": False, "serving": False, "terminating": True}})], set()),
        ([endpoints("shop/orders", "x.example", family="FQDN")], set()),
    ],
)  # fmt: skip
def test_servers_are_the_endpoints_that_are_ready(slices: list[Object], found: set[str]) -> None:
    from proxy.sources.kubernetes.endpoints import servers
    from tests.sources.kubernetes.kit import world_of

    kept = [one for _, one in world_of(*slices).all("EndpointSlice")]
    assert set(servers(kept, "p80", "http")) == found


def test_rules_go_to_their_paths() -> None:
    found = routing(*edge(), *orders(), route("shop/r", {"matches": [path("/x")]}))
    assert found.goes("h", "/x") == "500", "a rule that forwards to nobody"
