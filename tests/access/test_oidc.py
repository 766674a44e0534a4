"""Logins by OpenID Connect without sockets: seals, cookies, and what strangers may write."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.check import Asked
from proxy.access.oidc_browser import origin
from proxy.access.oidc_return import read
from proxy.access.oidc_session import Flow, Jar, Names, Seals, Session, kept, local, state_of
from proxy.access.sealed import Sealer
from proxy.config.access_model import Oidc
from proxy.http.head import RequestHead

NONCE = bytes(range(12))
SAID = Oidc(issuer="https://id.test", client_id="shop", secret="s" * 32)
SESSION = Session(1000, "ada", ["openid"], {"sub": "ada", "groups": ["a", "b"]})
FLOW = Flow(1000, state_of(400, "x" * 43), "n", "v", "/", "https://shop.test/oauth2/callback")

TEXT = st.text(st.characters(max_codepoint=0x2100))


@given(st.binary(max_size=300))
def test_what_is_sealed_can_be_opened(data: bytes) -> None:
    sealer = Sealer("s" * 32, b"purpose")
    assert sealer.open(sealer.seal(data, NONCE)) == data


@given(st.binary(max_size=120))
def test_what_was_not_sealed_cannot(text: bytes) -> None:
    assert Sealer("s" * 32, b"purpose").open(text) is None


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_seal_that_was_touched_cannot(place: int, change: int) -> None:
    sealer = Sealer("s" * 32, b"purpose")
    sealed = bytearray(sealer.seal(b"who", NONCE))
    place %= len(sealed) - 1  # the last letter has bits that say nothing
    sealed[place] ^= change
    assert sealer.open(bytes(sealed)) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("other", SAID),
        ("login", Oidc(issuer="https://id2.test", client_id="shop", secret="s" * 32)),
        ("login", Oidc(issuer="https://id.test", client_id="bank", secret="s" * 32)),
        ("login", Oidc(issuer="https://id.test", client_id="shop", secret="t" * 32)),
    ],
)
def test_a_session_of_another_check(name: str, said: Oidc) -> None:
    sealed = Seals("login", SAID).seal_session(SESSION, NONCE)
    assert Seals("login", SAID).session(sealed, 999) == SESSION
    assert Seals(name, said).session(sealed, 999) == "malformed"


def test_what_is_sealed_for_one_thing_is_no_other() -> None:
    seals = Seals("login", SAID)
    assert seals.session(seals.seal_flow(FLOW, NONCE), 0) == "malformed"
    assert seals.flow(seals.seal_session(SESSION, NONCE), FLOW.state, 0) is None


def test_sessions_and_flows_end() -> None:
    seals = Seals("login", SAID)
    assert seals.session(seals.seal_session(SESSION, NONCE), 1000) == "expired"
    sealed = seals.seal_flow(FLOW, NONCE)
    assert seals.flow(sealed, FLOW.state, 999) == FLOW
    assert seals.flow(sealed, FLOW.state, 1000) is None
    assert seals.flow(sealed, FLOW.state + "x", 999) is None


def test_the_first_secret_seals_and_all_open() -> None:
    old, new = Sealer("a" * 32, b"p"), Sealer(f"\n{'b' * 32}\n\n{'a' * 32}\n", b"p")
    assert new.open(old.seal(b"x", NONCE)) == b"x"
    assert old.open(new.seal(b"x", NONCE)) is None
    assert Sealer("b" * 32, b"p").open(new.seal(b"x", NONCE)) == b"x"


@given(st.one_of(TEXT, TEXT.map("/".__add__), st.text("/\\.:@%evil\t\n ").map("/".__add__)))
def test_a_path_to_go_back_to_is_of_this_host(target: str) -> None:
    found = local(target)
    for text in (found, found.translate(str.maketrans("", "", "\t\r\n"))):
        url = urlsplit(urljoin("https://shop.test/oauth2/callback", text.replace("\\", "/")))
        assert (url.scheme, url.netloc) == ("https", "shop.test")
    assert found in (target, "/")


@pytest.mark.parametrize(
    "target",
    ["", "x", "//evil.test", "/\\evil.test", "/\t/evil.test", "/\n/evil", "https://evil.test",
     "\\\\evil.test", "javascript:alert(1)", "/é", "/a\r\nSet-Cookie: x=1", "/" + "x" * 800],
)  # fmt: skip
def test_what_is_no_path_of_this_host(target: str) -> None:
    assert local(target) == "/"


@pytest.mark.parametrize("target", ["/", "/a/b?c=d&e=%2F%2Fx", "/a//b", "/?x=https://a.test/"])
def test_what_is_one(target: str) -> None:
    assert local(target) == target


@given(st.text(max_size=200))
def test_any_query_is_read_or_refused(query: str) -> None:
    found = read(query)
    assert found is None or found.state


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("code=c&state=s", ("s", "c", "")),
        ("code=c&state=s&iss=https%3A%2F%2Fid", ("s", "c", "https://id")),
        ("error=access_denied&state=s", ("s", "", "")),
        ("error=access_denied&state=s&code=c", ("s", "", "")),
        ("code=c", None),
        ("state=s", None),
        ("code=&state=s", None),
        ("code=c&state=s&state=t", None),
        ("code=c&code=d&state=s", None),
        ("code=c%0Ad&state=s", None),
        ("code=%ff&state=s", None),
        ("code=" + "c" * 3000 + "&state=s", None),
        ("&".join(["a=b"] * 20) + "&code=c&state=s", None),
    ],
)
def test_what_an_issuer_says_by_way_of_a_browser(query: str, found: object) -> None:
    assert read(query) == found


def test_cookies_of_one_name() -> None:
    names = Names("__Host-shop", True)
    jar = Jar(names, b"a=1; __Host-shop=x; __Host-shop.00000001.abcdefgh=y; __Host-shopping=z")
    assert jar.session == b"x"
    assert jar.flows == {"__Host-shop.00000001.abcdefgh": b"y"}
    assert Jar(names, b"__Host-shop=x; __Host-shop=y").session == b"", "none of two counts"
    assert Jar(names, None).session is None
    many = b"; ".join(b"__Host-shop.%08x.abcdefgh=y" % n for n in range(7))
    assert Jar(names, many).surplus() == [
        "__Host-shop.00000000.abcdefgh", "__Host-shop.00000001.abcdefgh",
        "__Host-shop.00000002.abcdefgh",
    ]  # fmt: skip


def test_claims_that_are_kept() -> None:
    said = Oidc(headers={"x-mail": "email"}, claims={"realm_access.roles": "admin"})
    claims = {
        "iss": "i", "aud": "a", "nonce": "n", "sub": "ada", "email": "e", "groups": [],
        "realm_access": {"roles": ["admin"]},
    }  # fmt: skip
    every, named = kept(claims, said)
    assert set(every) == {"sub", "email", "groups", "realm_access"}
    assert set(named) == {"email", "realm_access"}


@pytest.mark.parametrize(
    ("scheme", "host", "port", "found"),
    [
        ("https", "shop.test", 0, "https://shop.test"),
        ("https", "shop.test", 443, "https://shop.test"),
        ("https", "shop.test", 8443, "https://shop.test:8443"),
        ("http", "::1", 8080, "http://[::1]:8080"),
        ("http", "[::1]", 8080, "http://[::1]:8080"),
    ],
)
def test_the_origin_of_a_site(scheme: str, host: str, port: int, found: str) -> None:
    asked = Asked(RequestHead(), "10.0.0.1", scheme, host, 0.0)
    asked.port = port
    assert origin(asked) == found
