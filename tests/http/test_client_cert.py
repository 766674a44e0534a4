"""Names of certificates as text: RFC 4514, and Envoy's X-Forwarded-Client-Cert."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.http.client_cert import element, forwarded, identity_of, subject_of

USUAL: dict[str, Any] = {
    "subject": (
        (("countryName", "DE"),),
        (("organizationName", "Shop"),),
        (("commonName", "me"), ("userId", "7")),
    ),
    "subjectAltName": (("DNS", "me.test"), ("URI", "spiffe://mesh/me"), ("DNS", "you.test")),
}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("a,b", "a\\,b"),
        ('say "x"', 'say \\"x\\"'),
        ("#1", "\\#1"),
        (" x ", "\\ x\\ "),
        ("bücher", "b\\C3\\BCcher"),
        ("a\r\nX-Evil: 1", "a\\0D\\0AX-Evil: 1"),
        ("a\0b", "a\\00b"),
    ],
)
def test_what_a_name_may_hold(value: str, text: str) -> None:
    assert subject_of({"subject": ((("commonName", value),),)}) == f"CN={text}"


def test_a_usual_certificate() -> None:
    assert subject_of(USUAL) == "CN=me+UID=7,O=Shop,C=DE"
    assert identity_of(USUAL) == "spiffe://mesh/me"
    assert identity_of({"subject": USUAL["subject"]}) == "CN=me+UID=7,O=Shop,C=DE"
    assert element(USUAL, "ab" * 32, "spiffe://mesh/gate") == (
        b"By=spiffe://mesh/gate;Hash=" + b"ab" * 32 + b';Subject="CN=me+UID=7,O=Shop,C=DE"'
        b";URI=spiffe://mesh/me;DNS=me.test;DNS=you.test"
    )


def test_a_name_that_would_be_another_field_is_quoted() -> None:
    crafted = {"subjectAltName": (("URI", 'a://b;URI="spiffe://mesh/root",By=x'), ("DNS", "ü"))}
    said = element(crafted, "00", "")
    assert said == (b'Hash=00;Subject="";URI="a://b;URI=\\"spiffe://mesh/root\\",By=x";DNS=%C3%BC')


def test_elements_of_several_hops() -> None:
    assert forwarded(None, None) is None
    assert forwarded(b"a", None) == b"a"
    assert forwarded(None, b"b") == b"b"
    assert forwarded(b"a", b"b") == b"a,b"
