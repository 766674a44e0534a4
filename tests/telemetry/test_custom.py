"""Attributes of a user's own, from what a request carries."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import attributes as config_attributes
from proxy.telemetry import blocks
from proxy.telemetry.custom import MAX_VALUE, CustomAttributes, claims_of


def bearer(claims: Any) -> bytes:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
    return b"Bearer e30." + payload + b".c2ln"


def read(source: str, trusted: bool = True, **fields: bytes) -> str | None:
    """Field names have `_` for `-`."""
    found = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    values = CustomAttributes({"k": source}).read(found, trusted)
    assert all(key == "k" for key, _ in values) and len(values) < 2
    return values[0][1] if values else None


@pytest.mark.parametrize(
    ("source", "fields", "expected"),
    [
        ("header:X-Tenant", {"x_tenant": b"acme"}, "acme"),
        ("header:x-tenant", {}, None),
        ("header:x-tenant", {"x_tenant": b"\xff"}, "�"),
        ("header:x-tenant", {"x_tenant": b"a" * 999}, "a" * MAX_VALUE),
        ("cookie:kind", {"cookie": b"a=1; kind=gold; kind=other"}, "gold"),
        ("cookie:kind", {"cookie": b'kind="gold"'}, "gold"),
        ("cookie:kind", {"cookie": b"unkind=1; kind"}, None),
        ("baggage:tenant", {"baggage": b"a=1, tenant = ac%20me;p=1 ,b=2"}, "ac me"),
        ("baggage:tenant", {"baggage": b"a=1"}, None),
        ("jwt:sub", {"authorization": bearer({"sub": "jane"})}, "jane"),
        ("jwt:n", {"authorization": bearer({"n": 12})}, "12"),
        ("jwt:ok", {"authorization": bearer({"ok": True})}, "true"),
        ("jwt:aud", {"authorization": bearer({"aud": ["a", "b", 1]})}, "a,b"),
        ("jwt:realm.tenant", {"authorization": bearer({"realm": {"tenant": "t"}})}, "t"),
        ("jwt:https://x.example/t", {"authorization": bearer({"https://x.example/t": "t"})}, "t"),
        ("jwt:sub", {"authorization": bearer({"sub": None})}, None),
        ("jwt:sub", {"authorization": bearer(["sub"])}, None),
        ("jwt:sub.x", {"authorization": bearer({"sub": "jane"})}, None),
        ("jwt:sub", {"authorization": b"Basic amFuZTpwdw=="}, None),
        ("jwt:sub", {"authorization": b"Bearer opaque"}, None),
        ("jwt:sub", {"authorization": b"Bearer a.!!!.c"}, None),
        ("jwt:sub", {"authorization": b"Bearer a." + b"W1tb" * 4000 + b".c"}, None),
        ("label:team", {"x_tenant": b"acme"}, None),  # not of the request
    ],
)
def test_sources(source: str, fields: dict[str, bytes], expected: str | None) -> None:
    assert read(source, **fields) == expected


def test_a_strangers_baggage_is_not_believed() -> None:
    assert read("baggage:tenant", False, baggage=b"tenant=acme") is None


@pytest.mark.parametrize("attributes", [{}, {"k": "label:team"}])
def test_nothing_is_read_where_nothing_is_asked(attributes: dict[str, str]) -> None:
    assert not CustomAttributes(attributes)


def test_what_is_hidden_is_told_without_its_value() -> None:
    sources = {"a": "header:x-key", "b": "cookie:key", "c": "header:x-team"}
    custom = CustomAttributes(sources, ["a", "b"])
    head = {b"x-key": b"1", b"cookie": b"key=2", b"x-team": b"shop"}
    assert dict(custom.read(head, True)) == {"a": "REDACTED", "b": "REDACTED", "c": "shop"}
    assert custom.read({}, True) == []


@given(st.binary(max_size=80), st.sampled_from(["header", "cookie", "baggage", "jwt"]))
def test_whatever_clients_send_is_taken(value: bytes, kind: str) -> None:
    custom = CustomAttributes({"k": f"{kind}:a"})
    for sent in (value, b"a=" + value, b"Bearer e30." + value + b".x"):
        names = (b"a", b"cookie", b"baggage", b"authorization")
        for key, found in custom.read(dict.fromkeys(names, sent), True):
            assert key == "k"
            found.encode()
    claims_of(b"Bearer e30." + base64.urlsafe_b64encode(value) + b".x")


def test_keys_of_the_gateway_are_the_same_in_both_places() -> None:
    assert config_attributes.RESERVED == blocks.RESERVED
