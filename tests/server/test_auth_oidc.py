"""Logins by OpenID Connect over real sockets: a browser's way, and ways that lead nowhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest

from proxy.access.oidc_session import Seals, Session
from proxy.config.access_model import Oidc
from proxy.hub import oidc_fetch
from tests.access.tokens import private
from tests.harness import Backend
from tests.server.grpc_kit import calling
from tests.server.h2_kit import h2_client
from tests.server.kit import attributes, eventually, number, traces
from tests.server.oidc_kit import CLIENT, SECRET, Browser, guarded, issuer

XHR = "Sec-Fetch-Mode: cors"
FLOW = "spangate."
SESSION = "spangate"


async def denied(gate: Any, reason: str, check: str = "login") -> int:
    await gate.recorded.collect()
    labels = {"spangate_check": check, "spangate_denied_reason": reason}
    return number(gate, "spangate.access.denied", **labels)


async def test_a_login() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        asked = await browser.begin("/orders?a=1&b=%2F")
        assert asked["response_type"] == "code"
        assert asked["theme"] == "dark", "what the endpoint has in its query stays"
        assert asked["redirect_uri"] == f"http://127.0.0.1:{gate.port}/oauth2/callback"
        assert asked["scope"] == "openid"
        back = urlsplit(at.back(asked))
        answer = await browser.ask(f"{back.path}?{back.query}")
        assert answer.status == 303
        assert answer["location"] == "/orders?a=1&b=%2F"
        assert answer["cache-control"] == "no-store"
        assert list(browser.cookies) == [SESSION], "the flow is over"
        assert (await browser.ask("/orders")).status == 200
        assert backend.field("x-user") == "ada"
        assert backend.field("x-mail") == "ada@shop.test"
        assert backend.field("cookie") is None, "the session is none of the upstream's business"
        last = (await traces(gate, 3))[-1]
        assert attributes(last.server)["user.id"] == "ada"
        assert at.basic[0].startswith("Basic ")


async def test_who_is_sent_to_log_in_has_been_refused() -> None:
    """And who comes back, or leaves, has not."""
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        assert (await browser.login(at)).status == 303
        assert (await browser.ask("/")).status == 200
        answer = await browser.ask("/oauth2/logout", "Sec-Fetch-Site: same-origin", method="POST")
        assert answer.status == 303
        seen = await traces(gate, 4)
        assert [[event.name for event in one.server.events] for one in seen] == [
            ["spangate.access.denied"], [], [], []
        ]  # fmt: skip
        assert seen[0].about["spangate.check"] == "login"
        assert [one.about.get("spangate.denied.reason") for one in seen] == [
            "login", None, None, None
        ]  # fmt: skip
        assert await denied(gate, "login") == 1
        await browser.begin("/other/x")
        assert await denied(gate, "login", "other") == 1
        browser.cookies = {SESSION: "x"}  # of whatever the session was
        await browser.begin()
        assert await denied(gate, "login") == 2


async def test_other_cookies_pass() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        await browser.login(at)
        browser.cookies = {"a": "1", **browser.cookies, "spangate.left": "x", "b": "2"}
        assert (await browser.ask("/")).status == 200
        assert (backend.field("cookie") or "").replace(" ", "") == "a=1;b=2"


async def test_what_a_client_says_of_itself_does_not_count() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        at.claims = {"sub": "ada"}
        await browser.login(at)
        assert (await browser.ask("/", "X-Mail: root@shop.test", "X-User: root")).status == 200
        assert backend.field("x-user") == "ada"
        assert backend.field("x-mail") is None


@pytest.mark.parametrize(
    ("host", "prefix", "secure"),
    [("127.0.0.1", "", False), ("localhost", "", False)],
)
async def test_cookies(host: str, prefix: str, secure: bool) -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate, f"{host}:{gate.port}")
        await browser.login(at)
        assert browser.lines
        for line in browser.lines:
            assert {"Path=/", "HttpOnly", "SameSite=Lax"} <= set(line.split("; "))
            assert ("Secure" in line) is secure
            assert len(line.partition(";")[0]) <= 4096


async def test_cookies_of_a_host_with_tls() -> None:
    """The listener is behind a proxy that is trusted and says so."""
    more = '[forwarding]\ntrust = ["127.0.0.1"]\n'
    said = ("X-Forwarded-Proto: https", "X-Forwarded-Host: shop.test")
    async with issuer() as at, Backend() as backend, guarded(at, backend, more) as gate:
        browser = Browser(gate)
        answer = await browser.ask("/", *said)
        asked = dict(pair.split("=", 1) for pair in urlsplit(answer["location"]).query.split("&"))
        assert asked["redirect_uri"] == "https%3A%2F%2Fshop.test%2Foauth2%2Fcallback"
        (line,) = browser.lines
        assert line.startswith("__Host-spangate.")
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Lax"} <= set(line.split("; "))
        assert "Domain" not in line


async def test_no_login_over_plain_http_from_elsewhere() -> None:
    """Its cookies would not be kept, and the browser sent round in circles."""
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        answer = await Browser(gate, "shop.test").ask("/")
        assert answer.status == 403
        assert b"https://" in answer.body
        assert await denied(gate, "scheme") == 1


@pytest.mark.parametrize(
    ("method", "lines", "page"),
    [
        ("GET", [XHR], True),
        ("GET", ["Sec-Fetch-Mode: no-cors"], True),
        ("GET", ["Accept: application/json"], False),
        ("GET", ["X-Requested-With: XMLHttpRequest"], True),
        ("POST", ["Sec-Fetch-Mode: navigate", "Content-Length: 0"], True),
        ("GET", ["Sec-Purpose: prefetch", "Sec-Fetch-Mode: navigate"], True),
        ("GET", ["Upgrade: websocket", "Sec-Fetch-Mode: websocket"], True),
    ],
)
async def test_what_is_no_page_is_not_sent_away(method: str, lines: list[str], page: bool) -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        answer = await browser.ask("/", *lines, method=method, page=page)
        assert answer.status == 401
        assert answer["www-authenticate"]
        assert not browser.cookies, "no login is begun"
        assert await denied(gate, "absent") == 1
        assert not backend.heads


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_is_a_page_is(method: str) -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        client = await gate.connect()
        lines = f"{method} / HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Mode: navigate\r\n\r\n"
        client.write(lines.encode())
        assert (await client.answer(head_only=method == "HEAD")).status == 302


async def test_tabs_do_not_end_each_others_logins() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        asked = [await browser.begin(f"/{tab}") for tab in range(3)]
        for tab in (1, 0, 2):
            back = urlsplit(at.back(asked[tab]))
            answer = await browser.ask(f"{back.path}?{back.query}")
            assert answer.status == 303
            assert answer["location"] == f"/{tab}"
        assert list(browser.cookies) == [SESSION]


async def test_flows_are_few() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        for tab in range(9):
            await browser.begin(f"/{tab}")
        assert len(browser.cookies) == 5


@pytest.mark.parametrize(
    "path",
    ["//evil.test/x", "/%5Cevil.test", "/.//evil.test", "/a?next=//evil.test", "/" + "x" * 900],
)
async def test_nobody_is_sent_to_another_site(path: str) -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        try:
            answer = await browser.login(at, path)
        except AssertionError:
            answer = await browser.ask(path)
            assert answer.status == 400, "not even routed"
            return
        where = answer["location"]
        assert where.startswith("/") and not where.startswith(("//", "/\\"))
        assert len(where) < 800


# Ways in that are none. Each begins with a login under way, and its callback is changed.

Change = Callable[[Browser, dict[str, str], str], str]


def without_cookies(browser: Browser, asked: dict[str, str], back: str) -> str:
    browser.cookies.clear()
    return back


def another_state(browser: Browser, asked: dict[str, str], back: str) -> str:
    return back.replace(asked["state"], asked["state"][:-1] + "~")


def another_cookie(browser: Browser, asked: dict[str, str], back: str) -> str:
    (name,) = browser.cookies
    browser.cookies[name] = "x" + browser.cookies[name][1:]
    return back


def cut_cookie(browser: Browser, asked: dict[str, str], back: str) -> str:
    (name,) = browser.cookies
    browser.cookies[name] = browser.cookies[name][:40]
    return back


def two_states(browser: Browser, asked: dict[str, str], back: str) -> str:
    return f"{back}&state=x"


def no_state(browser: Browser, asked: dict[str, str], back: str) -> str:
    return "/oauth2/callback?code=x"


def nothing(browser: Browser, asked: dict[str, str], back: str) -> str:
    return "/oauth2/callback"


def made_up_error(browser: Browser, asked: dict[str, str], back: str) -> str:
    return "/oauth2/callback?error=<script>alert(1)</script>&state=<b>"


def another_issuer(browser: Browser, asked: dict[str, str], back: str) -> str:
    return back.partition("&iss=")[0] + "&iss=https%3A%2F%2Fevil.test"


def made_up_code(browser: Browser, asked: dict[str, str], back: str) -> str:
    return f"/oauth2/callback?code=guess&state={asked['state']}"


def other_host(browser: Browser, asked: dict[str, str], back: str) -> str:
    browser.host = f"localhost:{browser.gate.port}"
    return back


def other_check(browser: Browser, asked: dict[str, str], back: str) -> str:
    return back.replace("/oauth2/", "/other/")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (without_cookies, "no_flow"),  # login CSRF: the attacker's own code and state
        (another_state, "no_flow"),
        (another_cookie, "no_flow"),
        (cut_cookie, "no_flow"),
        (two_states, "no_flow"),
        (no_state, "no_flow"),
        (nothing, "no_flow"),
        (made_up_error, "no_flow"),
        (other_host, "no_flow"),
        (other_check, ""),
        (another_issuer, "issuer"),
        (made_up_code, "code"),
    ],
)
async def test_ways_in_that_are_none(change: Change, reason: str) -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        asked = await browser.begin("/orders")
        back = urlsplit(at.back(asked))
        answer = await browser.ask(change(browser, asked, f"{back.path}?{back.query}"))
        assert answer.status == 403
        assert SESSION not in browser.cookies
        assert b"<script>" not in answer.body and b"alert" not in answer.body
        assert b"<a href=" in answer.body, "there is a way to begin anew"
        assert (await browser.ask("/orders")).status == 302
        assert not backend.heads
        if reason:
            assert await denied(gate, reason) == 1


async def test_a_callback_counts_once() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        asked = await browser.begin()
        kept = dict(browser.cookies)
        back = urlsplit(at.back(asked))
        assert (await browser.ask(f"{back.path}?{back.query}")).status == 303
        assert (await browser.ask(f"{back.path}?{back.query}")).status == 403
        browser.cookies = kept  # whoever has them too
        assert (await browser.ask(f"{back.path}?{back.query}")).status == 403
        assert SESSION not in browser.cookies


async def test_a_refusal_of_the_issuer() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        asked = await browser.begin("/orders?x=<b>")
        path = f"/oauth2/callback?error=access_denied&error_description=<i>&state={asked['state']}"
        answer = await browser.ask(path)
        assert answer.status == 403
        assert b"has refused" in answer.body
        assert b"<i>" not in answer.body and b"<b>" not in answer.body
        assert not browser.cookies
        assert await denied(gate, "refused") == 1


LIES: list[tuple[dict[str, Any], str, int]] = [
    ({"claims": {"iss": "https://evil.test"}}, "issuer", 403),
    ({"claims": {"aud": "bank"}}, "audience", 403),
    ({"claims": {"aud": ["shop", "bank"]}}, "audience", 403),
    ({"claims": {"azp": "bank"}}, "audience", 403),
    ({"claims": {"nonce": "another"}}, "nonce", 403),
    ({"claims": {"nonce": None}}, "nonce", 403),
    ({"claims": {"exp": 1}}, "expired", 403),
    ({"claims": {"exp": None}}, "expired", 403),
    ({"claims": {"iat": None}}, "expired", 403),
    ({"claims": {"iat": 1}}, "expired", 403),
    ({"claims": {"sub": None}}, "malformed", 403),
    ({"claims": {"sub": ["root"]}}, "malformed", 403),
    ({"unsigned": True}, "algorithm", 403),
    ({"key": private("P-256", 41)}, "signature", 403),
    ({"key": b"s3cret/with+signs" * 4, "alg": "HS256"}, "algorithm", 403),
]


@pytest.mark.parametrize(("lies", "reason", "status"), LIES, ids=lambda x: str(x)[:40])
async def test_an_issuer_that_lies(lies: dict[str, Any], reason: str, status: int) -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        at.lies = lies
        assert (await browser.login(at)).status == status
        assert SESSION not in browser.cookies
        assert await denied(gate, reason) == 1


@pytest.mark.parametrize(
    "lies",
    [
        {"iss_document": "https://evil.test"},
        {"document": {"authorization_endpoint": "http://evil.test/a"}},
        {"document": {"token_endpoint": "file:///etc/passwd"}},
        {"document": {"jwks_uri": 7}},
        {"down": True},
    ],
    ids=str,
)
async def test_an_issuer_that_is_not_known(lies: dict[str, Any]) -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        at.lies = lies
        browser = Browser(gate)
        answer = await browser.ask("/")
        assert answer.status == 503
        assert answer["retry-after"]
        assert (await browser.ask("/", XHR)).status == 401, "who has no session is known"
        assert await denied(gate, "unavailable") == 1


async def test_sessions_count_while_the_issuer_is_down() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        await browser.login(at)
        at.lies = {"down": True}
        assert (await browser.ask("/")).status == 200
        assert (await Browser(gate).ask("/")).status == 302, "where it is, is still known"


async def test_an_issuer_changes_its_keys() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        assert (await Browser(gate).login(at)).status == 303
        at.key, at.kid = private("P-256", 42), "k2"
        assert (await Browser(gate).login(at)).status == 303
        at.kid = "k3"  # again, and too soon: anybody could make up names of keys
        assert (await Browser(gate).login(at)).status == 403
        assert await denied(gate, "key_unknown") == 1
        assert at.asked.count("/jwks") == 2
        assert at.asked.count("/.well-known/openid-configuration") == 1


@pytest.mark.parametrize("slow", [True, False])
async def test_an_issuer_that_does_not_answer_the_exchange(
    slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oidc_fetch, "TIMEOUT", 0.3)
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        asked = await browser.begin()
        at.hangs = asyncio.Event() if slow else None
        at.lies = {"down": not slow}
        back = urlsplit(at.back(asked))
        assert (await browser.ask(f"{back.path}?{back.query}")).status == 503
        assert await denied(gate, "unavailable") == 1
        if at.hangs is not None:
            at.hangs.set()


async def test_a_browser_that_goes_while_its_code_is_exchanged() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        at.hangs = asyncio.Event()
        back = urlsplit(at.back(await browser.begin()))
        client = await gate.connect()
        cookies = "; ".join(f"{n}={v}" for n, v in browser.cookies.items())
        line = f"GET {back.path}?{back.query} HTTP/1.1\r\nHost: {browser.host}\r\n"
        client.write(f"{line}Cookie: {cookies}\r\n\r\n".encode())
        await eventually(lambda: "/token" in at.asked)
        client.vanish()
        at.hangs.set()
        assert (await Browser(gate).login(at)).status == 303


async def test_cookies_that_are_no_session() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        await browser.login(at)
        good = browser.cookies[SESSION]
        middle = len(good) // 2
        other = "A" if good[middle] != "A" else "B"
        for bad in (
            "", "x", good[:-4], good + "AAAA", good[:middle] + other + good[middle + 1 :],
            "B" + good[1:], "é", "A" * 5000,
        ):  # fmt: skip
            browser.cookies = {SESSION: bad}
            assert (await browser.ask("/")).status == 302, bad
            browser.cookies = {SESSION: bad}
            assert (await browser.ask("/", XHR)).status == 401, bad
        browser.cookies = {SESSION: good}
        assert (await browser.ask("/other/x")).status == 302, "of another check"
        browser.cookies = {SESSION: good}
        assert (await browser.ask("/")).status == 200


@pytest.mark.parametrize(("left", "status"), [(60, 200), (-1, 401)])
async def test_a_session_ends(left: int, status: int) -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        seals = Seals("login", Oidc(issuer=at.url, client_id=CLIENT, secret=SECRET))
        session = Session(int(time()) + left, "ada", ["openid"], {"sub": "ada"})
        browser.cookies = {SESSION: seals.seal_session(session, bytes(12)).decode()}
        assert (await browser.ask("/", XHR)).status == status
        assert await denied(gate, "expired") == (status == 401)


async def test_secrets_are_replaced_without_ending_sessions() -> None:
    old, new = "o" * 40, "n" * 40
    async with issuer() as at, Backend() as backend:
        async with guarded(at, backend, secret=old) as gate:
            browser = Browser(gate)
            await browser.login(at)
            cookies = browser.cookies
        for secret, status in ((f"{new}\\n{old}", 200), (new, 302)):
            async with guarded(at, backend, secret=secret) as gate:
                browser = Browser(gate)
                browser.cookies = dict(cookies)
                assert (await browser.ask("/")).status == status


async def test_claims_that_do_not_suffice() -> None:
    more = 'claims = { role = "admin" }'
    async with issuer() as at, Backend() as backend, guarded(at, backend, more) as gate:
        browser = Browser(gate)
        assert (await browser.login(at)).status == 303
        answer = await browser.ask("/")
        assert answer.status == 403
        assert b'action="/oauth2/logout"' in answer.body
        assert (await browser.ask("/", XHR)).status == 403
        at.claims["role"] = ["clerk", "admin"]
        await browser.ask("/oauth2/logout", "Sec-Fetch-Site: same-origin", method="POST")
        await browser.login(at)
        assert (await browser.ask("/")).status == 200


async def test_claims_that_are_too_many() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        at.claims["groups"] = ["group" * 10] * 200
        assert (await browser.login(at)).status == 303, "those that are named are kept"
        assert (await browser.ask("/")).status == 200
        assert backend.field("x-mail") == "ada@shop.test"
        at.claims["email"] = "a" * 5000
        answer = await Browser(gate).login(at)
        assert answer.status == 403
        assert b"cookie" in answer.body


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_logout(method: str) -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        await browser.login(at)
        answer = await browser.ask("/oauth2/logout", "Sec-Fetch-Site: same-origin", method=method)
        assert answer.status == 303
        end = urlsplit(answer["location"])
        assert f"{end.scheme}://{end.netloc}{end.path}" == f"{at.url}/end"
        assert "client_id=shop" in end.query
        assert not browser.cookies
        assert (await browser.ask("/")).status == 302


@pytest.mark.parametrize(
    ("method", "lines"),
    [
        ("GET", ["Sec-Fetch-Site: cross-site"]),
        ("POST", ["Sec-Fetch-Site: cross-site"]),
        ("POST", ["Sec-Fetch-Site: same-site"]),
        ("POST", ["Origin: https://evil.test"]),
        ("POST", ["Origin: null"]),
        ("POST", []),
        ("GET", []),
    ],
)
async def test_another_site_cannot_log_out(method: str, lines: list[str]) -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        await browser.login(at)
        answer = await browser.ask("/oauth2/logout", *lines, method=method)
        assert answer.status == 403
        assert b"<button>" in answer.body
        assert (await browser.ask("/")).status == 200


async def test_nothing_of_secrets_is_told() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        await browser.login(at)
        await browser.ask("/")
        session = browser.cookies[SESSION]
        seen = await traces(gate, 3)
        told = repr([attributes(t.server) for t in seen]) + repr(gate.recorded.lines)
        for secret in (session, "s3cret", "0123456789abcdef0123456789abcdef"):
            assert secret not in told


async def test_clients_of_http_2() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        await browser.login(at)
        client = await h2_client(gate)
        got = await client.get("/a", (b"accept", b"text/html"))
        assert got.status == 403, "gateway.test is not this machine"
        assert (await client.get("/a")).status == 401
        session = f"__Host-{SESSION}={browser.cookies[SESSION]}".encode()
        got = await client.get("/a", (b"cookie", b"a=1"), (b"cookie", session))
        assert got.status == 200
        assert backend.field("x-user") == "ada"
        assert backend.field("cookie") == "a=1"


async def test_calls_are_unauthenticated() -> None:
    async with issuer() as at:
        top = f"""[auth.login.oidc]
issuer = "{at.url}"
client_id = "{CLIENT}"
secret = "{SECRET}"
"""
        async with calling('auth = "login"', top=top) as caller:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await caller.unary()(b"abc")
            assert failed.value.code() == grpc.StatusCode.UNAUTHENTICATED
            assert caller.service.seen == []
        assert not at.asked


async def test_logout_while_the_issuer_is_down() -> None:
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        at.lies = {"down": True}
        browser = Browser(gate)
        browser.cookies = {SESSION: "x", f"{FLOW}0000000a.abcdefgh": "y"}
        answer = await browser.ask("/oauth2/logout", "Sec-Fetch-Site: same-origin", method="POST")
        assert (answer.status, answer["location"]) == (303, "/")
        assert not browser.cookies


@pytest.mark.parametrize("before", ["a=1 ", "a=1, ", "=", "a="])
async def test_a_session_in_the_value_of_another_cookie_is_none(before: str) -> None:
    """Any subdomain can set such a cookie, `__Host-` or not: a stranger's session in it would be
    forced upon whoever comes along."""
    async with issuer() as at, Backend() as backend, guarded(at, backend) as gate:
        browser = Browser(gate)
        await browser.login(at)
        assert (await browser.ask("/")).status == 200, "it is remembered from here on"
        value, browser.cookies = browser.cookies[SESSION], {}
        tossed = f"Cookie: {before}{SESSION}={value}"
        assert (await browser.ask("/", tossed, page=False)).status == 401
        good = f"Cookie: a=1;{SESSION}={value}"
        assert (await browser.ask("/", good, page=False)).status == 200
