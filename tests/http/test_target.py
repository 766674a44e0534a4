"""Which authority and path a request is about, and what is refused for being two things."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadRequest
from proxy.http.head import RequestHead
from proxy.http.target import Authorities, resolve, split_authority, without_port


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
        # one spelling of each host
        (b"/x", b"a:", ("a", "/x", "")),
        (b"/x", b"a:080", ("a:80", "/x", "")),
        (b"/x", b"a:" + b"0" * 40, ("a:0", "/x", "")),
        (b"/x", b"a.example.", ("a.example", "/x", "")),
        (b"/x", b"A.Example.:", ("a.example", "/x", "")),
        (b"/x", b"%61dmin.exampl%45", ("admin.example", "/x", "")),
        (b"/x", b"a%2Eexample%2e:81", ("a.example:81", "/x", "")),
        (b"/x", b"[::1]:", ("[::1]", "/x", "")),
        (b"/x", b"[0:0:0:0:0:0:0:1]:0443", ("[::1]:443", "/x", "")),
        (b"/x", b"[2001:0DB8::00AB]", ("[2001:db8::ab]", "/x", "")),
        (b"http://a:/x", b"a", ("a", "/x", "")),
        (b"http://a.:080/x", b"A:", ("a:80", "/x", "")),
        (b"http://[::0001]/x", b"[0::1]:80", ("[::1]", "/x", "")),
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
        (b"/", b"a:123456"),
        (b"/", b"a:65536"),
        (b"/", b"a:8o"),
        (b"/", b"a:80:"),
        (b"/", b"a: 80"),
        (b"/", b":"),
        (b"/", b":80"),
        (b"/", b"."),
        (b"/", b".a"),
        (b"/", b"a.."),
        (b"/", b"a..b"),
        (b"/", b"a%2e."),
        (b"/", b"a%00"),
        (b"/", b"a%2fb"),
        (b"/", b"a%25"),
        (b"/", b"b%C3%BCcher.example"),
        (b"/", "bücher.example".encode()),
        (b"/", b"[fe80::1%25eth0]"),
        (b"/", b"[fe80::1%eth0]"),
        (b"/", b"[:::1]"),
        (b"/", b"[1.2.3.4]"),
        (b"/", b"[]"),
        (b"/", b"[v1.x]"),
        (b"/", b"[::1]."),
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
        (b"/?\xc3\xa9#", b"a"),
        (b"/?\xc3", b"a"),
        (b"/?\xff", b"a"),
    ],
)
def test_what_is_refused(target: bytes, host: bytes | None) -> None:
    with pytest.raises(BadRequest) as caught:
        resolved(target, host)
    assert caught.value.status == 400
    assert caught.value.close


@pytest.mark.parametrize("host", [b"b", b"a:81", b"a", b"a:80"])
def test_who_is_asked_as_a_proxy_goes_by_the_target_alone(host: bytes) -> None:
    """RFC 9112 §3.2.2; what Host has said is not there any more for anybody who looks."""
    head = RequestHead()
    head.target, head.method, head.version = b"http://a/x", "GET", "1.1"
    head.fields[b"host"] = host
    resolve(head, Authorities(as_proxy=True))
    assert (head.authority, head.path) == ("a", "/x")
    assert head.fields[b"host"] in (b"a", b"a:80")


@pytest.mark.parametrize(("target", "host"), [(b"/", b"a b"), (b"http://a/", b"a b")])
def test_a_host_that_is_none_is_refused_by_proxies_too(target: bytes, host: bytes) -> None:
    head = RequestHead()
    head.target, head.method, head.version = target, "GET", "1.1"
    head.fields[b"host"] = host
    with pytest.raises(BadRequest):
        resolve(head, Authorities(as_proxy=True))


@pytest.mark.parametrize(
    ("target", "host", "authority"),
    [
        (b"a:443", b"a:443", "a:443"),
        (b"A.:0443", b"a", "a:443"),
        (b"[::1]:80", b"[0::1]", "[::1]:80"),
    ],
)
def test_connect_names_a_host_and_a_port(target: bytes, host: bytes, authority: str) -> None:
    assert resolved(target, host, method="CONNECT") == (authority, "/", "")


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"a", b"a"),
        (b"a:", b"a"),
        (b"a:0", b"a"),
        (b"/x", b"a"),
        (b"*", b"a"),
        (b"http://a/", b"a"),
        (b"a:443", b"b:443"),
        (b"a:443", b"a:80"),
        (b"u@a:443", b"a:443"),
        (b"a:443/x", b"a:443"),
    ],
)
def test_connect_to_something_else(target: bytes, host: bytes) -> None:
    with pytest.raises(BadRequest):
        resolved(target, host, method="CONNECT")


@pytest.mark.parametrize("target", [b"*", b"http://a"])
def test_options_of_the_server_as_a_whole(target: bytes) -> None:
    assert resolved(target, method="OPTIONS") == ("a", "*", "")


def test_options_of_a_path() -> None:
    assert resolved(b"http://a/", method="OPTIONS") == ("a", "/", "")


def test_http_1_0_needs_no_host() -> None:
    assert resolved(b"/x", None, version="1.0") == ("", "/x", "")
    assert resolved(b"http://a/x", None, version="1.0") == ("a", "/x", "")


@pytest.mark.parametrize(
    ("target", "tail"),
    [
        (b"/p", ""),
        (b"/p?", "?"),
        (b"/p??", "??"),
        (b"/p?a=%zz&&", "?a=%zz&&"),
        (b'/p?a="<>\\^`{|}', '?a="<>\\^`{|}'),
        (b"/p?q=\xc3\xa9&r=%C3%A9", "?q=%C3%A9&r=%C3%A9"),
        (b"http://a?", "?"),
    ],
)
def test_the_query_is_what_it_was(target: bytes, tail: str) -> None:
    head = RequestHead()
    head.target, head.method = target, "GET"
    head.fields[b"host"] = b"a"
    resolve(head, Authorities())
    assert (head.tail, head.query) == (tail, tail[1:])


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


@given(st.binary(max_size=12) | st.text("aA.:0%61[]", max_size=12).map(str.encode))
def test_any_host_is_an_authority_or_refused(host: bytes) -> None:
    try:
        authority = Authorities().check(host)
    except BadRequest:
        return
    assert authority == authority.lower()
    assert not set('/?#@ ,\\"%') & set(authority)
    assert Authorities().check(authority.encode()) == authority


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


@pytest.mark.parametrize(
    ("authority", "host"),
    [("a", "a"), ("a:80", "a"), ("[::1]", "[::1]"), ("[::1]:80", "[::1]"), ("", "")],
)
def test_the_host_as_it_stands_in_a_url(authority: str, host: str) -> None:
    assert without_port(authority) == host
