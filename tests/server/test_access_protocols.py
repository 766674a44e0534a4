"""Every kind of check over every protocol: who is let in, who is refused, and what each is told.

The same rows go over HTTP/1.1, HTTP/2, gRPC and the handshakes of WebSockets, so that no protocol
has a door of its own.
"""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, NamedTuple

import bcrypt
import pytest

from proxy.access.oidc_session import Seals, Session
from proxy.config.access_model import Oidc
from tests.access import tokens
from tests.harness import Backend, Gateway, Peer, gateway
from tests.server.h2_backend import H2Backend, Stream
from tests.server.h2_kit import h2_client
from tests.server.kit import reply, routing
from tests.server.oidc_kit import Hub, issuer
from tests.server.test_websocket import HANDSHAKE, SWITCHED
from tests.server.tls_kit import connect, leaf, listening, trusting, write_ca

KEY = "sk_of_the_tests"
PASSWORD = "open sesame"
SECRET = "0123456789abcdef0123456789abcdef"
PAGE = ("Accept: text/html", "Sec-Fetch-Mode: navigate", "X-Forwarded-Proto: https")
NAMES = {"partner": "spiffe://partner/orders", "stranger": "spiffe://elsewhere/orders"}
GRPC = {401: "16", 403: "7", 429: "8", 503: "14"}  # UNAUTHENTICATED, PERMISSION_DENIED, …
PROTOCOLS = ["h1", "h2", "grpc", "grpc web", "websocket", "websocket h2"]
CALLS = ("grpc", "grpc web")
DAY = 86_400  # seconds: what is made when this is read must count until all tests have run


@dataclass(frozen=True)
class Row:
    """One request: what it shows, and what follows."""

    kind: str
    case: str
    status: int  # 200 = let in
    lines: tuple[str, ...] = ()
    shows: str = ""  # of NAMES: the client's certificate
    challenge: str = ""


def bearer(**claims: Any) -> str:
    said = {"iss": tokens.ISSUER, "aud": tokens.AUDIENCE, "sub": "ada", "exp": int(time()) + DAY}
    token = tokens.token({**said, **claims}, tokens.SECRET, "HS256", '{"alg":"HS256"}')
    return f"Authorization: Bearer {token.decode()}"


def session(left: int) -> str:
    """The cookie of a browser that has logged in, with so many seconds left."""
    seals = Seals("oidc", Oidc(issuer=tokens.ISSUER, client_id="shop", secret=SECRET))
    sealed = seals.seal_session(
        Session(int(time()) + left, "ada", ["openid"], {"sub": "ada"}), bytes(12)
    )
    return f"Cookie: __Host-spangate={sealed.decode()}"


def basic(password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"ann:{password}".encode()).decode()


ROWS = [
    Row("api_key", "good", 200, (f"X-Api-Key: {KEY}",)),
    Row("api_key", "absent", 401, challenge="ApiKey"),
    Row("api_key", "unknown", 401, ("X-Api-Key: guessed",), challenge="ApiKey"),
    Row("api_key", "without scope", 403, (f"X-Api-Key: {KEY}",), challenge="Bearer error="),
    Row("basic", "good", 200, (basic(PASSWORD),)),
    Row("basic", "absent", 401, challenge="Basic realm="),
    Row("basic", "wrong", 401, (basic("guessed"),), challenge="Basic realm="),
    Row("jwt", "good", 200, (bearer(),)),
    Row("jwt", "absent", 401, challenge="Bearer"),
    Row("jwt", "expired", 401, (bearer(exp=int(time()) - DAY),), challenge="Bearer"),
    Row("jwt", "for others", 401, (bearer(aud="bank"),), challenge="Bearer"),
    Row("jwt", "without scope", 403, (bearer(),), challenge="Bearer error="),
    Row("forward", "good", 200, ("X-Say: 200",)),
    Row("forward", "refused", 401, ("X-Say: 401",), challenge="Judge realm="),
    Row("forward", "forbidden", 403, ("X-Say: 403",)),
    Row("forward", "nobody knows", 503, ("X-Say: 500",)),
    Row("mtls", "good", 200, shows="partner"),
    Row("mtls", "absent", 401, challenge="ClientCertificate"),
    Row("mtls", "somebody else", 403, shows="stranger"),
    Row("oidc", "good", 200, (session(DAY),)),
    Row("oidc", "absent", 401, challenge="Cookie"),
    Row("oidc", "expired", 401, (session(-DAY),), challenge="Cookie"),
    Row("oidc", "malformed", 401, ("Cookie: __Host-spangate=x",), challenge="Cookie"),
    Row("oidc", "without scope", 403, (session(DAY),), challenge="Bearer error="),
    Row("address", "allowed", 200),
    Row("address", "denied", 403),
    Row("any", "by key", 200, (f"X-Api-Key: {KEY}",)),
    Row("any", "by token", 200, (bearer(),)),
    Row("any", "absent", 401, challenge="Bearer"),
    Row("all", "both", 200, (f"X-Api-Key: {KEY}", bearer())),
    Row("all", "one", 401, (bearer(),), challenge="ApiKey"),
]
CHECKS = {
    "api_key": 'api_key = {{ file = "{folder}/keys.toml" }}',
    "basic": 'basic = {{ file = "{folder}/users" }}',
    "jwt": f'jwt = {{{{ issuer = "{tokens.ISSUER}", audience = "{tokens.AUDIENCE}",'
    ' secret = "{folder}/hmac.key", algorithms = "HS256" }}',
    "forward": 'forward = {{ to = "{judge}/verify" }}',
    "oidc": f'oidc = {{{{ issuer = "{tokens.ISSUER}", client_id = "shop", secret = "{SECRET}" }}}}',
    "mtls": 'mtls = {{ identities = "spiffe://partner/*" }}',
}
USES = {
    "address": 'allow = "127.0.0.0/8"',
    "any": 'auth = ["jwt", "api_key"]',
    "all": 'auth = { all = ["jwt", "api_key"] }',
}


def files(folder: Path) -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    (folder / "keys.toml").write_text(f'[[key]]\nname = "shop"\nhash = "sha256:{digest}"\n')
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()
    (folder / "users").write_text(f"ann:{hashed}\n")
    (folder / "hmac.key").write_bytes(tokens.SECRET)
    for file in ("keys.toml", "users", "hmac.key"):
        (folder / file).chmod(0o600)


def config(row: Row, folder: Path, judge: Backend, url: str, grpc: bool) -> str:
    top = ""
    if row.kind == "mtls":
        top = listening(folder, f', client_ca = "{write_ca(folder)}", client = "request"')
    wanted = {"any": ("jwt", "api_key"), "all": ("jwt", "api_key"), "address": ()}
    for kind in wanted.get(row.kind, (row.kind,)):
        top += f"[auth.{kind}]\n{CHECKS[kind].format(folder=folder, judge=judge.url)}\n"
    use = USES.get(row.kind, f'auth = "{row.kind}"')
    if row.case == "without scope":
        use = f'auth = {{ any = "{row.kind}", scopes = "admin" }}'
    denied = 'deny = "127.0.0.1"\n' if row.case == "denied" else ""
    rest = f'[[route]]\npath = "/*"\nto = "b"\ngrpc_web = true\n{denied}{use}\n'
    return top + routing({"b": [url]}, rest) + ('protocol = "h2"\n' if grpc else "")


async def judging(peer: Peer) -> None:
    """Another server, which says what it is asked to say."""
    while True:
        head = (await peer.head()).lower()
        said = int(head.partition(b"\r\nx-say: ")[2][:3] or b"500")
        more = ['WWW-Authenticate: Judge realm="x"'] if said == 401 else []
        peer.write(reply(said, b"judged", *more))


def switched(head: bytes) -> bytes:
    """What a server says to that handshake."""
    found = re.search(rb"(?i)\r\nsec-websocket-key: *([^\r]+)", head)
    assert found
    digest = hashlib.sha1(found[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    begin = SWITCHED.partition(b"Sec-WebSocket-Accept")[0]
    return begin + b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"


async def serving(peer: Peer) -> None:
    while True:
        head = await peer.head()
        if b"\r\nupgrade:" in head.lower():
            peer.write(switched(head))
            await peer.rest()
        peer.write(reply(200))


async def serving_calls(stream: Stream) -> None:
    await stream.body()
    stream.head(200, ("content-type", "application/grpc"))
    stream.data(b"\0\0\0\0\2ok")
    stream.end(("grpc-status", "0"))


@asynccontextmanager
async def backing(protocol: str) -> AsyncIterator[Any]:
    if protocol in CALLS:
        async with H2Backend(serving_calls) as calls:
            yield calls
    else:
        async with Backend(serving) as backend:
            yield backend


def came(backend: Any) -> int:
    return len(backend.streams) if isinstance(backend, H2Backend) else len(backend.heads)


class Told(NamedTuple):
    """What a client hears; 101 and what is like it are 200."""

    status: int
    grpc: str
    challenge: str
    location: str


async def asked(gate: Gateway, protocol: str, row: Row, tls: ssl.SSLContext | None) -> Told:
    if protocol in FIRST:
        client = await (connect(gate, tls) if tls else gate.connect())
        first, _, rest = FIRST[protocol].partition(b"\r\n")
        lines = "".join(f"{line}\r\n" for line in row.lines).encode()
        client.write(first + b"\r\n" + lines + rest)
        answer = await client.answer(head_only=protocol == "websocket" and row.status == 200)
        status = 200 if answer.status == 101 else answer.status
        said = answer["grpc-status"] or answer.body.partition(b"grpc-status: ")[2][:2].decode()
        return Told(status, said.strip(), answer["www-authenticate"], answer["location"])
    pairs = [line.partition(": ") for line in row.lines]
    more = [(name.lower().encode(), value.encode()) for name, _, value in pairs]
    two = await h2_client(gate, tls=tls)
    if protocol == "h2":
        got = await two.get("/x", *more)
    elif protocol == "grpc":
        call = ((b"te", b"trailers"), (b"content-type", b"application/grpc"))
        stream = two.ask("POST", "/a.B/C", *call, *more, end=False)
        two.data(stream, b"\0\0\0\0\2hi", end=True)
        got = await two.answer(stream)
    else:
        await two.until(lambda: two.settings)
        pseudo = ((b":protocol", b"websocket"), (b"sec-websocket-version", b"13"))
        stream = two.ask("CONNECT", "/ws", *pseudo, *more, end=False)
        got = await two.head(stream)
    said = got["grpc-status"] or dict(got.trailers).get(b"grpc-status", b"").decode()
    return Told(got.status, said, got["www-authenticate"], got["location"])


FIRST = {  # what is sent over HTTP/1.1
    "h1": b"GET /x HTTP/1.1\r\nHost: gateway.test\r\n\r\n",
    "grpc web": b"POST /a.B/C HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 7\r\n"
    b"Content-Type: application/grpc-web\r\n\r\n\0\0\0\0\2hi",
    "websocket": HANDSHAKE,
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind} {row.case}")
async def test_every_check_over_every_protocol(row: Row, protocol: str, tmp_path: Path) -> None:
    files(tmp_path)
    tls = None
    if row.kind == "mtls":
        tls = trusting(shows=leaf(NAMES[row.shows]) if row.shows else None)
        tls.set_alpn_protocols(["http/1.1" if protocol in FIRST else "h2"])
    async with Backend(judging) as judge, backing(protocol) as backend:
        text = config(row, tmp_path, judge, backend.url, protocol in CALLS)
        async with gateway(text) as gate:
            status, grpc, challenge, _ = await asked(gate, protocol, row, tls)
            if protocol in CALLS:
                assert (status, grpc) == (200, GRPC.get(row.status, "0"))
            else:
                assert status == row.status
            assert challenge.startswith(row.challenge) and bool(challenge) == bool(row.challenge)
            assert came(backend) == (row.status == 200)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_only_pages_are_sent_to_log_in(protocol: str, tmp_path: Path) -> None:
    """A call and a handshake cannot show a page, whatever their fields say."""
    row = Row("oidc", "a page", 401, PAGE)
    async with issuer() as at, Backend(judging) as judge, backing(protocol) as backend:
        text = config(row, tmp_path, judge, backend.url, protocol in CALLS)
        trust = '[forwarding]\ntrust = ["127.0.0.1"]\n'
        async with gateway(trust + text.replace(tokens.ISSUER, at.url)) as gate:
            hub = Hub(gate)
            told = await asked(gate, protocol, row, None)
            await hub.oidc.close()
            if protocol in ("h1", "h2"):
                assert told.status == 302 and told.location.startswith(f"{at.url}/authorize")
            else:
                status = (200, "16") if protocol in CALLS else (401, "")
                assert told == (*status, 'Cookie realm="spangate"', "")
                assert not at.asked, "no login is begun"
            assert came(backend) == 0
