"""Names of certificates: which are the same, and which only look so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.check import Asked, Identity
from proxy.access.mtls import Certificates
from proxy.config.access_model import Mtls
from proxy.config.access_mtls import parts_of
from proxy.http.client_cert import subject_of
from proxy.http.head import RequestHead


def decided(said: Mtls, identities: tuple[str, ...] = (), subject: str = "") -> str:
    asked = Asked(RequestHead(), "10.0.0.1", "https", "a", 0.0)
    asked.identities, asked.certificate_subject = identities, subject
    check = Certificates("partners", said)
    first, second = check.decide(asked), check.decide(asked)
    assert first is second
    return first.name if isinstance(first, Identity) else first.reason  # type: ignore[union-attr]


PARTNERS = Mtls(identities=["spiffe://partner/*", "https://mesh.example/orders"])


@pytest.mark.parametrize(
    ("identity", "is_in"),
    [
        ("spiffe://partner/a", True),
        ("spiffe://partner/a/b.c/d_e-1", True),
        ("https://mesh.example/orders", True),
        ("spiffe://partner", False),
        ("spiffe://partner/", False),
        ("spiffe://partner//a", False),
        ("spiffe://partner/a/", False),
        ("spiffe://partner.evil/a", False),
        ("spiffe://partner.evil/spiffe://partner/a", False),
        ("spiffe://evil/spiffe://partner/a", False),
        ("spiffe://partner@evil/a", False),
        ("spiffe://PARTNER/a", False),
        ("SPIFFE://partner/a", False),
        (" spiffe://partner/a", False),
        ("spiffe://partner/.", False),
        ("spiffe://partner/..", False),
        ("spiffe://partner/../evil", False),
        ("spiffe://partner/a/../../evil", False),
        ("spiffe://partner/%2e%2e/evil", False),
        ("spiffe://partner/a%00", False),
        ("spiffe://partner/a\0.evil", False),
        ("spiffe://partner/a\n", False),
        ("spiffe://partner/a?b", False),
        ("spiffe://partner/a#b", False),
        ("spiffe://partner/ä", False),
        ("spiffe://partner/...", True),
        ("https://mesh.example/orders/", False),
        ("https://mesh.example/Orders", False),
        ("https://mesh.example/orders\0", False),
        ("https://mesh.example/order", False),
    ],
)
def test_identities(identity: str, is_in: bool) -> None:
    assert decided(PARTNERS, (identity,)) == (identity if is_in else "identity")
    assert decided(PARTNERS, ("spiffe://x/y", identity)) == (identity if is_in else "identity")


def dn(*parts: tuple[tuple[str, str], ...]) -> str:
    """The subject as the gateway writes that of a certificate, which lists it the other way."""
    return subject_of({"subject": tuple(reversed(parts))})


def cn(value: str) -> tuple[tuple[str, str], ...]:
    return (("commonName", value),)


O = (("organizationName", "Shop, Inc."),)  # noqa: E741


@pytest.mark.parametrize(
    ("wanted", "subject", "is_in"),
    [
        ("CN=orders", dn(cn("orders"), O), True),
        ("cn = orders", dn(cn("orders"), O), True),
        (r"CN=orders,O=Shop\, Inc.", dn(cn("orders"), O), True),
        (r"O=Shop\2C Inc. , CN=orders", dn(cn("orders"), O), True),
        ("CN=orders,O=Shop", dn(cn("orders"), O), False),
        ("CN=orders", dn(cn("x,CN=orders")), False),
        ("CN=orders", dn(cn("x+CN=orders")), False),
        ("CN=orders", dn((("organizationName", "CN=orders"),)), False),
        ("CN=orders", dn(cn("orders\0")), False),
        ("CN=orders", dn(cn("orders ")), False),
        ("CN=orders", dn(cn("Orders")), False),
        ("CN=orders", dn(cn("orders2")), False),
        ("CN=orders", dn((("commonName", "orders"), ("userId", "7"))), False),
        ("UID=7+CN=orders", dn((("commonName", "orders"), ("userId", "7"))), True),
        ("CN=b\\C3\\BCro", dn(cn("büro")), True),
        ("CN=büro", dn(cn("büro")), True),
        (r"CN=a\\", dn(cn("a\\")), True),
        (r"CN=\ a\ ", dn(cn(" a ")), True),
        ("emailAddress=a@b", dn((("emailAddress", "a@b"),)), True),
        ("CN=orders", "", False),
    ],
)
def test_subjects(wanted: str, subject: str, is_in: bool) -> None:
    said = decided(Mtls(subjects=[wanted]), (), subject)
    assert said == (subject if is_in else "identity" if subject else "absent")


@given(st.lists(st.lists(st.text(min_size=1), min_size=1, max_size=3), min_size=1, max_size=4))
def test_every_subject_that_is_written_is_read_again(values: list[list[str]]) -> None:
    rdns = tuple(tuple(("commonName", value) for value in rdn) for rdn in values)
    text = subject_of({"subject": rdns})
    known = [[v.encode("utf-8", "replace").decode() for v in rdn] for rdn in values]
    assert parts_of(text) == frozenset(frozenset(("CN", v) for v in rdn) for rdn in known)


@given(st.text())
def test_whatever_is_said_is_read_or_refused(text: str) -> None:
    try:
        parts = parts_of(text)
    except ValueError:
        return
    assert parts and all(kind == kind.upper() and value for p in parts for kind, value in p)


def test_no_certificate_is_told_from_a_wrong_one() -> None:
    assert decided(PARTNERS) == "absent"
    assert decided(PARTNERS, (), "CN=x") == "identity"
    assert decided(Mtls(), ("spiffe://a/b",), "CN=x") == "spiffe://a/b"
    assert decided(Mtls(), (), "CN=x") == "CN=x"


def test_a_name_in_a_header_is_one_line() -> None:
    check = Certificates("any", Mtls(header="X-Who"))
    asked = Asked(RequestHead(), "10.0.0.1", "https", "a", 0.0)
    asked.identities = ("spiffe://a/b\r\nX-Admin: 1",)
    found = check.decide(asked)
    assert isinstance(found, Identity)
    assert found.headers == [(b"x-who", b"spiffe://a/b??X-Admin: 1")]
