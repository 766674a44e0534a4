"""An issuer of OpenID Connect over a real socket, which may lie, and a browser's jar of cookies."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from time import time
from typing import Any, Protocol
from urllib.parse import parse_qs, urlencode, urlsplit

from aiohttp import web

from proxy.hub.asks import Asks
from proxy.hub.oidc import Oidc
from proxy.server import frames
from tests.access.tokens import jwk, private, token
from tests.harness import Answer, Backend, Client, Gateway, gateway

SECRET = "0123456789abcdef0123456789abcdef"
CLIENT, CLIENT_SECRET = "shop", "s3cret/with+signs"
PAGE = "Accept: text/html"

CONFIG = """
[export]
otlp = "http://127.0.0.1:1"
[auth.login.oidc]
issuer = "{issuer}"
client_id = "{client}"
client_secret = "{client_secret}"
secret = "{secret}"
headers = {{ x-user = "sub", x-mail = "email" }}
attributes = {{ "user.id" = "sub" }}
{more}
[auth.other.oidc]
issuer = "{issuer}"
client_id = "{client}"
secret = "{secret}"
callback = "/other/callback"
logout = "/other/logout"
[[route]]
name = "all"
path = "/*"
to = "b"
auth = "login"
{route}
[[route]]
name = "other"
path = "/other/*"
to = "b"
auth = "other"
[upstream.b]
servers = ["{backend}"]
"""


class Issuer:
    """`lies` replaces what it would say: by name of a claim, "iss_document", "alg", "key"…"""

    def __init__(self) -> None:
        self.lies: dict[str, Any] = {}
        self.claims: dict[str, Any] = {"sub": "ada", "email": "ada@shop.test"}
        self.codes: dict[str, dict[str, str]] = {}  # not used yet -> the authorization request
        self.asked: list[str] = []  # paths
        self.basic: list[str] = []  # of the token endpoint
        self.key, self.kid = private("P-256", 40), "k1"
        self.hangs: asyncio.Event | None = None  # the token endpoint waits for it
        self.url = ""

    def document(self) -> dict[str, Any]:
        return {
            "issuer": self.lies.get("iss_document", self.url),
            "authorization_endpoint": f"{self.url}/authorize?theme=dark",
            "token_endpoint": self.lies.get("token_endpoint", f"{self.url}/token"),
            "jwks_uri": f"{self.url}/jwks",
            "end_session_endpoint": f"{self.url}/end",
            **self.lies.get("document", {}),
        }

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path)
        if self.lies.get("down"):
            return web.Response(status=500)
        if request.path == "/.well-known/openid-configuration":
            return web.json_response(self.document())
        if request.path == "/jwks":
            return web.json_response({"keys": [jwk(self.key, kid=self.kid)]})
        if request.path == "/authorize":
            raise web.HTTPFound(self.back(dict(request.query)))
        if request.path == "/token":
            return await self._token(request)
        return web.Response(text="bye", content_type="text/html")

    def back(self, asked: dict[str, str]) -> str:
        """Where it sends a browser with that authorization request."""
        code = f"code-{len(self.codes)}-{time()}"
        self.codes[code] = asked
        said = self.lies.get("back", {"code": code, "state": asked["state"], "iss": self.url})
        return f"{asked['redirect_uri']}?{urlencode(said)}"

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        self.basic.append(request.headers.get("Authorization", ""))
        if self.hangs is not None:
            await self.hangs.wait()
        asked = self.codes.pop(str(form["code"]), None)
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["code_challenge_method"] != "S256"
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"id_token": self._id_token(asked), "token_type": "Bearer"})

    def _id_token(self, asked: dict[str, str]) -> str:
        now = int(time())
        said = {
            "iss": self.url, "aud": asked["client_id"], "nonce": asked["nonce"],
            "iat": now, "exp": now + 300, **self.claims, **self.lies.get("claims", {}),
        }  # fmt: skip
        said = {name: value for name, value in said.items() if value is not None}
        if self.lies.get("unsigned"):
            head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
            body = base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=").decode()
            return f"{head}.{body}."
        key, alg = self.lies.get("key", self.key), self.lies.get("alg", "ES256")
        return token(said, key=key, alg=alg, head={"kid": self.kid}).decode()


@contextlib.asynccontextmanager
async def issuer() -> AsyncIterator[Issuer]:
    found = Issuer()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    found.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    try:
        yield found
    finally:
        await runner.cleanup()


class Hub:
    """What answers a worker's questions, as the hub does, at the other end of its link."""

    id = 0

    def __init__(self, gate: Gateway) -> None:
        self.asks = Asks()
        self.oidc = Oidc(self.asks)
        self.link = gate.recorded  # which sends
        self._before = gate.recorded._frames
        gate.recorded._frames = self  # type: ignore[assignment]

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """As Frames has it: what is a question is answered besides."""
        for kind, items, payload in self._before.feed(data):
            if kind == frames.QUESTION:
                self.asks.take(self, items, bytes(payload))  # type: ignore[arg-type]
            yield kind, items, payload


@contextlib.asynccontextmanager
async def guarded(
    at: Issuer, backend: Backend, more: str = "", route: str = "", secret: str = SECRET
) -> AsyncIterator[Gateway]:
    """A gateway whose pages are behind a login at that issuer."""
    text = CONFIG.format(
        issuer=at.url, backend=backend.url, more=more, route=route, secret=secret, client=CLIENT,
        client_secret=CLIENT_SECRET,
    )  # fmt: skip
    async with gateway(text) as gate:
        hub = Hub(gate)
        try:
            yield gate
        finally:
            await hub.oidc.close()


class Door(Protocol):
    """Where it knocks."""

    port: int

    async def connect(self) -> Client: ...


class Browser:
    """One user's: it keeps cookies, and goes where it is sent."""

    def __init__(self, gate: Door, host: str = "") -> None:
        self.gate = gate
        self.host = host or f"127.0.0.1:{gate.port}"
        self.cookies: dict[str, str] = {}
        self.lines: list[str] = []  # Set-Cookie, as they came

    async def ask(self, path: str, *lines: str, method: str = "GET", page: bool = True) -> Answer:
        head = [f"{method} {path} HTTP/1.1", f"Host: {self.host}", "Connection: close", *lines]
        if page:
            head.append(PAGE)
        if self.cookies:
            head.append("Cookie: " + "; ".join(f"{n}={v}" for n, v in self.cookies.items()))
        client = await self.gate.connect()
        client.write("\r\n".join([*head, "", ""]).encode())
        answer = await client.answer()
        await client.close()
        self._keep(answer)
        return answer

    def _keep(self, answer: Answer) -> None:
        for name, value in answer.fields:
            if name == "set-cookie":
                self.lines.append(value)
                pair, *attributes = value.split("; ")
                key, _, said = pair.partition("=")
                self.cookies.pop(key, None)
                if "Max-Age=0" not in attributes:
                    self.cookies[key] = said

    async def begin(self, path: str = "/") -> dict[str, str]:
        """Ask for a page; what the issuer is asked then."""
        answer = await self.ask(path)
        assert answer.status == 302, answer
        url = urlsplit(answer["location"])
        return {name: values[0] for name, values in parse_qs(url.query).items()}

    async def login(self, at: Issuer, path: str = "/") -> Answer:
        """All of it; the answer of the callback."""
        back = urlsplit(at.back(await self.begin(path)))
        return await self.ask(f"{back.path}?{back.query}")
