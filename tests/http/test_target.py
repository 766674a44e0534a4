"""Which authority and path a request is about, and what is refused for being two things."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadRequest, ClientError
from proxy.http.head import RequestHead
from proxy.http.target import Authorities, resolve, split_authority


def resolved(
    target: bytes, host: bytes | None = b"a", method: str = "GET", version: str = "1.1"
) -> tuple[str, str, str]:
    """(authority, path, query)"""
    head = RequestHead()
    head.target, head.method, head.version = target, method, version
    if host is not None:
        head.fields[b"host"] = host
    resolve(head, Authorities())
    return head.authority, head.path, head.query


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        (b"/", b"a", ("a", "/", "")),
        (b"/x?y=%zz&", b"Shop.EXAMPLE:8080", ("shop.example:8080", "/x", "y=%zz&")),
        (b"/x?y?z", b"a", ("a", "/x", "y?z")),
        (b"/a/../b", b"[::1]", ("[::1]", "/b", "")),
        (b"/?", b"[2001:DB8::1]:80", ("[2001:db8::1]:80", "/", "")),
        (b"http://A/x", b"a", ("a", "/x", "")),
        (b"HTTP://a/x?y", b"a:80", ("a", "/x", "y")),
        (b"http://a:80/x", b"a", ("a:80", "/x", "")),
        (b"http://a", b"a", ("a", "/", "")),
        (b"http://a?y=/", b"a", ("a", "/", "y=/")),
        (b"/x", b"xn--bcher-kva.example", ("xn--bcher-kva.example", "/x", "")),
        (b"/x", b"a_b", ("a_b", "/x", "")),
    ],
)
def test_what_a_request_is_about(
    target: bytes, host: bytes, expected: tuple[str, str, str]
) -> None:
    assert resolved(target, host) == expected


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"/", None),
        (b"/", b""),
        (b"/", b"a, a"),
        (b"/", b"a/x"),
        (b"/", b"a b"),
        (b"/", b"u@a"),
        (b"/", b"a\xe9"),
        (b"/", b"a:"),
        (b"/", b"a:123456"),
        (b"/", b"a%zz"),
        (b"/", b"[::1"),
        (b"/", b"[::1]x"),
        (b"/", b"::1"),
        (b"*", b"a"),
        (b"x", b"a"),
        (b"a:80", b"a:80"),
        (b"", b"a"),
        (b"http://b/", b"a"),
        (b"http://a:81/", b"a"),
        (b"http://u@a/", b"a"),
        (b"http:///x", b"a"),
        (b"http:/x", b"a"),
        (b"https://a/", b"a"),
        (b"ftp://a/", b"a"),
        (b"file:///etc/passwd", b"a"),
        (b"http://a/#b", b"a"),
        (b"http://a#b", b"a"),
        (b"/x#b", b"a"),
        (b"/x?y#b", b"a"),
        (b"/\xc3\xa9", b"a"),
        (b"/?\xc3\xa9", b"a"),
    ],
)
def test_what_is_refused(target: bytes, host: bytes | None) -> None:
    with pytest.raises(BadRequest) as caught:
        resolved(target, host)
    assert caught.value.status == 400
    assert caught.value.close


@pytest.mark.parametrize("target", [b"a:443", b"/x", b"*", b"http://a/"])
def test_connect_is_for_forward_proxies(target: bytes) -> None:
    with pytest.raises(ClientError) as caught:
        resolved(target, method="CONNECT")
    assert (caught.value.status, caught.value.close) == (501, True)


@pytest.mark.parametrize("target", [b"*", b"http://a"])
def test_options_of_the_server_as_a_whole(target: bytes) -> None:
    assert resolved(target, method="OPTIONS") == ("a", "*", "")


def test_options_of_a_path() -> None:
    assert resolved(b"http://a/", method="OPTIONS") == ("a", "/", "")


def test_http_1_0_needs_no_host() -> None:
    assert resolved(b"/x", None, version="1.0") == ("", "/x", "")
    assert resolved(b"http://a/x", None, version="1.0") == ("a", "/x", "")


@given(st.text("ab:/?#@[]%* .\\0é", max_size=12).map(lambda t: t.encode("latin-1")))
def test_any_target_has_a_normal_path_or_is_refused(target: bytes) -> None:
    try:
        authority, path, query = resolved(target)
    except BadRequest:
        return
    assert authority == "a"
    assert path.startswith("/")
    assert resolved(path.encode() + b"?" + query.encode()) == ("a", path, query)
    assert not set(" \\#") & set(path)


@given(st.binary(max_size=12))
def test_any_host_is_an_authority_or_refused(host: bytes) -> None:
    try:
        authority = Authorities().check(host)
    except BadRequest:
        return
    assert authority == host.decode("ascii").lower()
    assert not set('/?#@ ,\\"') & set(authority)


def test_no_number_of_hosts_fills_the_memory() -> None:
    authorities = Authorities()
    for number in range(3000):
        assert authorities.check(b"h%d" % number) == f"h{number}"
    assert len(authorities._known) <= 1024


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("a", ("a", 0)),
        ("a:80", ("a", 80)),
        ("[::1]", ("::1", 0)),
        ("[::1]:8080", ("::1", 8080)),
        ("10.0.0.1:1", ("10.0.0.1", 1)),
        ("", ("", 0)),
    ],
)
def test_host_and_port(authority: str, expected: tuple[str, int]) -> None:
    assert split_authority(authority) == expected
