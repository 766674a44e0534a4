"""Objects of any form: none makes the translation fail, and what is given of them can be used."""

from __future__ import annotations

import copy
import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.config.load import loads
from proxy.errors import ConfigError
from tests.sources.kubernetes.kit import FILE, outcome_of
from tests.sources.kubernetes.objects import (
    Object,
    edge,
    endpoints,
    grant,
    listener,
    made,
    orders,
    path,
    route,
    service,
    to,
)

words = st.sampled_from(
    ["", "/", "*", "~", "~(", "*.x", "a b", "\x00", "é", "{x}", "/a//b", "/..", "%2F", "orders",
     "edge", "infra", "HTTPS", "Exact", "RegularExpression", "PathPrefix", "RequestRedirect",
     "URLRewrite", "RequestMirror", "-1s", "99999h", "GET", "x" * 300, "spangate", "http://x"]
)  # fmt: skip
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 70000), words, st.text(max_size=8), st.just(2**70)
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def whole() -> list[Object]:
    """One of each kind, with much in it."""
    tls = {"certificateRefs": [{"name": "cert"}], "mode": "Terminate"}
    edits = {"set": [{"name": "a", "value": "b"}], "add": [], "remove": ["c"]}
    rule = {
        "matches": [{**path("/a"), "headers": [{"name": "h", "value": "1", "type": "Exact"}],
                     "queryParams": [{"name": "q", "value": "1"}], "method": "GET"}],
        "filters": [
            {"type": "RequestHeaderModifier", "requestHeaderModifier": edits},
            {"type": "URLRewrite", "urlRewrite": {"hostname": "b.io", "path": {
                "type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"}}},
            {"type": "RequestMirror", "requestMirror": {"backendRef": to("orders"), "percent": 5}},
        ],
        "backendRefs": [to("orders"), to("gone", weight=2)],
        "timeouts": {"request": "1s"}, "retry": {"attempts": 1, "codes": [500]},
    }  # fmt: skip
    moved = {"filters": [{"type": "RequestRedirect", "requestRedirect": {
        "scheme": "https", "port": 443, "path": {"type": "ReplaceFullPath",
                                                 "replaceFullPath": "/x"}}}]}  # fmt: skip
    call = {"matches": [{"method": {"service": "s.S", "method": "M"}}],
            "backendRefs": [to("orders")]}  # fmt: skip
    web = {"ingressClassName": "spangate", "tls": [{"secretName": "cert"}], "rules": [
        {"host": "i.io", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {
            "service": {"name": "orders", "port": {"number": 80}}}}]}}]}  # fmt: skip
    policy = {"targetRefs": [{"group": "", "kind": "Service", "name": "orders"}],
              "validation": {"hostname": "o", "wellKnownCACertificates": "System"}}  # fmt: skip
    return [
        *edge(
            listener(80, "a", hostname="*.io", routes="All"),
            listener(443, "b", protocol="HTTPS", tls=tls, routes="All"),
        ),
        *orders(),
        service("pay/pay"),
        endpoints("shop/orders", "10.0.0.2", suffix="b"),
        route("shop/one", rule, moved, hostnames=["a.io"]),
        route("shop/call", call, kind="GRPCRoute"),
        grant("pay", "HTTPRoute", "shop"),
        made("BackendTLSPolicy", "shop/tls", spec=policy),
        made("Secret", "infra/cert", data={"tls.crt": "eA==", "tls.key": "eA=="}),
        made("ConfigMap", "shop/ca", data={"ca.crt": "x"}),
        made("Namespace", "shop", metadata={"labels": {"a": "b"}}),
        made("Ingress", "shop/web", spec=web),
        made("IngressClass", "spangate", spec={"controller": "spangate.dev/gateway"}),
    ]


def spots(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = (
        value.items() if isinstance(value, dict) else enumerate(value)
        if isinstance(value, list) else ()
    )  # fmt: skip
    return [at] * bool(at) + [one for key, item in below for one in spots(item, (*at, key))]


def changed(found: Object, at: tuple[Any, ...], value: Any) -> None:
    """The value there, if it still is there."""
    inner: Any = found
    for key in at[:-1]:
        try:
            inner = inner[key]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(inner, dict) or (isinstance(inner, list) and isinstance(at[-1], int)):
        try:
            inner[at[-1]] = value
        except IndexError:
            return


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32), st.lists(values, min_size=1, max_size=6))
def test_no_object_makes_it_fail(seed: int, parts: list[Any]) -> None:
    chosen = random.Random(seed)
    objects = copy.deepcopy(whole())
    for value in parts:
        one = chosen.choice(objects)
        places = [at for at in spots(one) if at[0] not in ("kind", "apiVersion")]
        at = chosen.choice([a for a in places if a[:2] != ("metadata", "name")] or places)
        if at[0] == "metadata" and len(at) < 3:
            continue
        changed(one, at, value)
    outcome = outcome_of(*objects, strict=False)
    try:
        loads(FILE, "t.toml", {}, given={"kubernetes": outcome.given})
    except ConfigError as error:
        places = set(outcome.given.places.values())
        for problem in error.problems:
            assert any(str(problem).startswith(f"{one}:") for one in places), str(problem)
