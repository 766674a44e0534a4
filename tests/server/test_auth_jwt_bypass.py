"""Attempts to get around a token, each over a real socket.

Each is first proven to be tried: by a route without `auth` it reaches the backend. Then it is sent
to the same backend by a route with `auth`, which answers as the table says, for the reason that the
table says, and the backend sees nothing of it. Sources: RFC 8725, the CVEs that are named, and the
attacks of jwt_tool and of PortSwigger's labs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

import msgspec
import pytest

from proxy.server import frames
from tests.access.tokens import (
    AUDIENCE,
    ISSUER,
    SECRET,
    b64,
    jwk,
    packed,
    pem,
    private,
    sealed,
    signature,
    token,
)  # fmt: skip
from tests.harness import Backend, Gateway, gateway
from tests.server.kit import number

URL = "https://idp.test/jwks"
CONFIG = """
[export]
otlp = "http://127.0.0.1:1"
[auth.staff]
jwt = {{ issuer = "{issuer}", audience = ["{audience}"], jwks = "{url}", algorithms = {algorithms}, headers = {{ x-user = "sub", x-role = "role" }}{more} }}
[[route]]
name = "open"
path = "/open/*"
to = "b"
[[route]]
name = "closed"
path = "/closed/*"
to = "b"
auth = "staff"
[upstream.b]
servers = ["{backend}"]
"""  # noqa: E501

KEYS = [
    jwk(private(), kid="k1", alg="RS256"),
    jwk(private("P-256"), kid="e1"),
    jwk(private("RSA", 2), kid="r2"),
    jwk(private("Ed25519"), kid="d1"),
]
EVIL = private("RSA", 9)


def claims(**more: Any) -> dict[str, Any]:
    now = int(time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 600, "iat": now, **more}
    return {name: value for name, value in said.items() if value is not None}


def good(**more: Any) -> bytes:
    return token(claims(**more))


def bearer(text: bytes) -> list[bytes]:
    return [b"Authorization: Bearer " + text]


@dataclass(frozen=True)
class Attempt:
    """Lines of a request, made when they are sent; what they get."""

    name: str
    lines: Callable[[], list[bytes]]
    reason: str
    status: int = 401
    query: Callable[[], str] = str
    algorithms: str = '["RS256", "ES256", "EdDSA"]'
    more: str = ""


def of_token(name: str, text: Callable[[], bytes], reason: str, **more: Any) -> Attempt:
    return Attempt(name, lambda: bearer(text()), reason, **more)


def head_of(**more: Any) -> str:
    return json.dumps({"alg": "RS256", "kid": "k1", **more})


def parts(first: str, body: dict[str, Any] | None = None, sign: str = "") -> bytes:
    """Without a signature, or with any text for one."""
    return f"{b64(first.encode())}.{b64(json.dumps(body or claims()).encode())}.{sign}".encode()


def evil(head: dict[str, Any]) -> bytes:
    """Signed by a stranger, whose head says where his key is."""
    return token(claims(sub="root"), key=EVIL, head=head)


def by_public(alg: str, key: bytes, **head: Any) -> bytes:
    """HMAC with what everybody knows (CVE-2015-9235, CVE-2016-5431)."""
    return token(claims(sub="root"), key=key, alg=alg, head=head)


def changed(text: bytes, place: int, make: Callable[[bytes], bytes]) -> bytes:
    found = text.split(b".")
    found[place] = make(found[place])
    return b".".join(found)


def stray_bits(part: bytes) -> bytes:
    """The same bytes by another last letter, where the letter has bits that say nothing."""
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(part) % 4 in (2, 3)
    return part[:-1] + letters[letters.index(part[-1:]) + 1 :][:1]


def es(r: int, s: int, kid: str = "e1") -> bytes:
    return parts(
        json.dumps({"alg": "ES256", "kid": kid}),
        sign=b64(r.to_bytes(32, "big") + s.to_bytes(32, "big")),
    )


def der_signature() -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    text = parts(json.dumps({"alg": "ES256", "kid": "e1"})).rstrip(b".")
    sign = private("P-256").sign(text, ec.ECDSA(hashes.SHA256()))
    return text + b"." + b64(sign).encode()


def twice(name: str, first: object, second: object) -> bytes:
    said = json.dumps(claims(**{name: None}))[:-1]
    one, other = (f"{json.dumps(name)}: {json.dumps(value)}" for value in (first, second))
    return token(f"{said}, {one}, {other}}}")


def spelled(**more: str) -> bytes:
    """Claims whose values are written as they are given."""
    said = json.dumps(claims(**dict.fromkeys(more)))[:-1]
    return token(said + "".join(f', "{name}": {value}' for name, value in more.items()) + "}")


def nested() -> bytes:
    return token(good(), head=head_of(cty="JWT"))


def encrypted() -> bytes:
    head = b64(b'{"alg":"RSA-OAEP","enc":"A256GCM"}')
    return f"{head}.{'A' * 40}.{'A' * 16}.{'A' * 80}.{'A' * 22}".encode()


def flattened() -> bytes:
    first, second, sign = good().decode().split(".")
    return json.dumps({"protected": first, "payload": second, "signature": sign}).encode()


def deep(text: str) -> bytes:
    said = json.dumps(claims())[:-1]
    return token(f'{said}, "x": {text}}}')


N_OF_K1 = KEYS[0]["n"].encode()
NONE = ["none", "None", "NONE", "nOnE", "", "null", "rs256", "RS256 ", " RS256", "RS256\u0000"]

ATTEMPTS = [
    Attempt("nothing", list, "absent"),
    Attempt("another scheme", lambda: [b"Authorization: Basic YWRhOnB3"], "absent"),
    Attempt("an empty line", lambda: [b"Authorization:"], "malformed"),
    Attempt("no scheme", lambda: [b"Authorization: " + good()], "malformed"),
    Attempt("no token", lambda: [b"Authorization: Bearer"], "malformed"),
    Attempt("a tab", lambda: [b"Authorization: Bearer\t" + good()], "malformed"),
    Attempt("quotes", lambda: [b'Authorization: Bearer "' + good() + b'"'], "malformed"),
    Attempt("something behind", lambda: [b"Authorization: Bearer " + good() + b" x"], "malformed"),
    Attempt("two lines", lambda: bearer(good()) * 2, "malformed"),
    Attempt(
        "a good line and a bad one", lambda: bearer(good()) + bearer(good(sub="root")), "malformed"
    ),
    Attempt(
        "another scheme and a token",
        lambda: [b"Authorization: Basic YWRhOnB3", *bearer(good())],
        "absent",
    ),
    Attempt("a list", lambda: [b"Authorization: Bearer x, Bearer " + good()], "malformed"),
    Attempt("an underscore", lambda: [b"X_Authorization: Bearer " + good()], "absent"),
    Attempt("for a proxy", lambda: [b"Proxy-Authorization: Bearer " + good()], "absent"),
    Attempt("the claim's own header", lambda: [b"X-User: ada"], "absent"),
    Attempt("in a query", list, "absent", query=lambda: "?access_token=" + good().decode()),
    Attempt("in a cookie", lambda: [b"Cookie: access_token=" + good()], "absent"),
    Attempt(
        "twice in a query",
        list,
        "malformed",
        query=lambda: f"?t={good().decode()}&t={good(sub='root').decode()}",
        more='in = ["query:t"]',
    ),
    Attempt(
        "a second name in a query, encoded",
        list,
        "malformed",
        query=lambda: f"?t={good().decode()}&%74=x",
        more='in = ["query:t"]',
    ),
    Attempt(
        "twice in cookies",
        lambda: [b"Cookie: t=" + good() + b"; t=" + good(sub="root")],
        "malformed",
        more='in = ["cookie:t"]',
    ),
    *[
        of_token(
            f"alg {alg!r} unsigned", lambda alg=alg: parts(head_of(alg=alg)), "algorithm"
        )
        for alg in NONE
    ],
    of_token(
        "alg none with a signature", lambda: token(claims(), head=head_of(alg="none")), "algorithm"
    ),
    of_token("alg a number", lambda: parts(head_of(alg=7), sign="AAAA"), "malformed"),
    of_token("alg a list", lambda: parts(head_of(alg=["RS256"]), sign="AAAA"), "malformed"),
    of_token("no alg", lambda: parts('{"kid": "k1"}', sign="AAAA"), "malformed"),
    of_token("unsigned, RS256", lambda: parts(head_of()), "algorithm"),
    of_token("two parts", lambda: good().rpartition(b".")[0], "malformed"),
    of_token("the signature of another token", lambda: good(sub="root").rpartition(b".")[0] + b"."
             + good().rpartition(b".")[2], "signature"),
    of_token("HS256 with the public key, PEM", lambda: by_public("HS256", pem(private())),
             "algorithm"),
    of_token("the same, HS256 allowed", lambda: by_public("HS256", pem(private())),
             "signature", algorithms='["RS256", "HS256"]', more='secret = "SECRET"'),
    of_token("HS256 with the modulus", lambda: by_public("HS256", N_OF_K1, kid="r2"), "algorithm"),
    of_token("HS512 with the JWK", lambda: by_public("HS512", json.dumps(KEYS[0]).encode()),
             "algorithm"),
    of_token("HS256 with an empty key", lambda: by_public("HS256", b""), "algorithm"),
    of_token("another one of the same key", lambda: token(claims(), alg="RS512"), "algorithm"),
    of_token("an algorithm that the key is not for", lambda: token(claims(), alg="PS256"),
             "algorithm", algorithms='["RS256", "PS256"]'),
    of_token("ES256 with the name of an RSA key", lambda: token(
        claims(), alg="ES256", head={"kid": "k1"}), "algorithm"),
    of_token("RS256 with the name of an EC key", lambda: token(claims(), head={"kid": "e1"}),
             "algorithm"),
    of_token("ES256 by a key of another curve", lambda: token(
        claims(), key=private("P-384"), alg="ES256", head={"kid": "e1"}), "signature"),
    of_token("r = s = 0 (CVE-2022-21449)", lambda: es(0, 0), "signature"),
    of_token("r = s = n", lambda: es(*[
        0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551] * 2), "signature"),
    of_token("r = s = 1", lambda: es(1, 1), "signature"),
    of_token("a signature in DER", der_signature, "signature"),
    of_token("r and s with a zero before", lambda: changed(
        token(claims(), alg="ES256", head={"kid": "e1"}), 2, lambda part: part + b"AAAA"),
        "signature"),
    of_token("a stranger's key", lambda: evil({}), "signature"),
    of_token("a stranger's key in jwk (CVE-2018-0114)", lambda: evil(
        {"jwk": jwk(EVIL)}), "malformed"),
    of_token("jku", lambda: evil({"jku": "http://127.0.0.1/jwks", "kid": "x"}), "malformed"),
    of_token("x5u", lambda: evil({"x5u": "http://127.0.0.1/cert"}), "malformed"),
    of_token("x5c", lambda: evil({"x5c": ["AAAA"]}), "malformed"),
    of_token("crit", lambda: token(claims(), head={"crit": ["exp"]}), "malformed"),
    of_token("crit, empty", lambda: token(claims(), head={"crit": []}), "malformed"),
    of_token("b64 false (RFC 7797)", lambda: token(
        claims(), head={"b64": False, "crit": ["b64"]}), "malformed"),
    of_token("compressed", lambda: token(claims(), head={"zip": "DEF"}), "malformed"),
    of_token("kid of a file", lambda: by_public("HS256", b"", kid="../../../dev/null"),
             "signature", algorithms='["RS256", "HS256"]', more='secret = "SECRET"'),
    of_token("kid of a device", lambda: evil({"kid": "../../../../../etc/passwd"}), "key_unknown"),
    of_token("kid of SQL", lambda: evil({"kid": "x' UNION SELECT 'key';--"}), "key_unknown"),
    of_token("kid of a command", lambda: evil({"kid": "k1|/usr/bin/id"}), "key_unknown"),
    of_token("kid of a URL", lambda: evil({"kid": "http://127.0.0.1/key"}), "key_unknown"),
    of_token("kid in other case", lambda: evil({"kid": "K1"}), "key_unknown"),
    of_token("kid with NUL", lambda: evil({"kid": "k1\0"}), "key_unknown"),
    of_token("kid a list", lambda: evil({"kid": ["k1"]}), "malformed"),
    of_token("kid null", lambda: evil({"kid": None}), "malformed"),
    of_token("kid of 1 kB", lambda: evil({"kid": "k" * 1000}), "malformed"),
    of_token("a head twice", lambda: token(
        claims(), head='{"alg":"none","alg":"RS256","kid":"k1"}'), "malformed"),
    of_token("a head with escapes twice", lambda: token(
        claims(), head='{"\\u0061lg":"none","alg":"RS256","kid":"k1"}'), "malformed"),
    of_token("a head that is a list", lambda: parts('["RS256"]', sign="AAAA"), "malformed"),
    of_token("a nested token", nested, "malformed"),
    of_token("a nested token without cty", lambda: token(good()), "malformed"),
    of_token("an encrypted token", encrypted, "malformed"),
    of_token("the JSON form", flattened, "malformed"),
    of_token("a part too many", lambda: good() + b".", "malformed"),
    of_token("padding", lambda: changed(good(), 2, lambda part: part + b"=="), "malformed"),
    of_token("stray bits", lambda: changed(good(), 2, stray_bits), "malformed"),
    of_token("plus and slash", lambda: changed(
        good(), 0, lambda part: part.replace(b"J", b"+", 1)), "malformed"),
    of_token("percent", lambda: good().replace(b".", b"%2E"), "malformed"),
    of_token("too large", lambda: good(x="x" * 17000), "malformed"),
    of_token("claims that are a list", lambda: token("[]"), "malformed"),
    of_token("claims that are no JSON", lambda: token("{]"), "malformed"),
    of_token("claims in UTF-16", lambda: token('{"sub":"ada"}'.encode("utf-16")), "malformed"),
    of_token("claims with a mark before", lambda: token(b"\xef\xbb\xbf{}"), "malformed"),
    of_token("claims too deep", lambda: deep("[" * 40 + "]" * 40), "malformed"),
    of_token("claims far too deep", lambda: deep("[" * 3000 + "]" * 3000), "malformed"),
    of_token("sub twice", lambda: twice("sub", "ada", "root"), "malformed"),
    of_token("exp twice", lambda: twice("exp", 1, 99999999999), "malformed"),
    of_token("twice further in", lambda: deep('{"a": 1, "a": 2}'), "malformed"),
    of_token("expired", lambda: good(exp=int(time()) - 61), "expired"),
    of_token("no exp", lambda: good(exp=None), "expired"),
    of_token("exp a text", lambda: spelled(exp='"99999999999"'), "malformed"),
    of_token("exp null", lambda: spelled(exp="null"), "malformed"),
    of_token("exp true", lambda: spelled(exp="true"), "malformed"),
    of_token("exp NaN", lambda: spelled(exp="NaN"), "malformed"),
    of_token("exp Infinity", lambda: spelled(exp="Infinity"), "malformed"),
    of_token("exp 1e400", lambda: spelled(exp="1e400"), "malformed"),
    of_token("exp of 400 digits", lambda: spelled(exp="9" * 400), "malformed"),
    of_token("exp in octal", lambda: spelled(exp="0777777777777"), "malformed"),
    of_token("exp in other case", lambda: spelled(Exp="99999999999", exp="1"), "expired"),
    of_token("not yet valid", lambda: good(nbf=int(time()) + 3600), "not_yet_valid"),
    of_token("made tomorrow", lambda: good(iat=int(time()) + 86400), "not_yet_valid"),
    of_token("another issuer", lambda: good(iss="https://idp.test.evil"), "issuer"),
    of_token("the issuer with a slash", lambda: good(iss=ISSUER + "/"), "issuer"),
    of_token("a list of issuers", lambda: good(iss=["https://evil", ISSUER]), "issuer"),
    of_token("for another service", lambda: good(aud="billing"), "audience"),
    of_token("for a part of the name", lambda: good(aud="shopping"), "audience"),
    of_token("for nobody", lambda: good(aud=None), "audience"),
    of_token("aud an object", lambda: good(aud={"shop": True}), "malformed"),
    of_token("a line break in a claim", lambda: good(sub="ada\r\nx-role: admin"), "claims",
             status=403),
    of_token("a comma in a list", lambda: good(role=["user", "x,admin"]), "claims", status=403),
    of_token("too few scopes", lambda: good(scope="read"), "scope", status=403,
             more='scopes = ["read", "write"]'),
    of_token("scopes in one", lambda: good(scope="read,write"), "scope", status=403,
             more='scopes = ["read", "write"]'),
    of_token("another role", lambda: good(role="administrator"), "claims", status=403,
             more='claims = { role = "admin" }'),
    of_token("an ID token for an access token", lambda: good(), "type", more='typ = "at+jwt"'),
]  # fmt: skip


async def send(gate: Gateway, path: str, attempt: Attempt) -> int:
    lines = [f"GET {path}{attempt.query()} HTTP/1.1".encode(), b"Host: shop.test", *attempt.lines()]
    client = await gate.connect()
    client.write(b"\r\n".join([*lines, b"", b""]))
    answer = await client.answer()
    await client.close()
    if answer.status == 401:
        assert answer["www-authenticate"].startswith("Bearer realm=")
    return answer.status


def config(backend: Backend, attempt: Attempt, folder: Path) -> str:
    secret = folder / "secret"
    secret.write_bytes(SECRET)
    more = attempt.more.replace("SECRET", str(secret))
    return CONFIG.format(
        issuer=ISSUER,
        audience=AUDIENCE,
        url=URL,
        backend=backend.url,
        algorithms=attempt.algorithms,
        more=f", {more}" if more else "",
    )


def told(gate: Gateway) -> None:
    """As the hub tells a worker, which has no others to tell for the next half a minute."""
    gate.recorded.says = b"130.0"
    gate.recorded.send(frames.KEYS, msgspec.msgpack.encode({URL: packed(*KEYS)}))


def test_there_are_enough_of_them() -> None:
    assert len({attempt.name for attempt in ATTEMPTS}) == len(ATTEMPTS) >= 60


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.name)
async def test_nobody_gets_around_it(attempt: Attempt, tmp_path: Path) -> None:
    async with Backend() as backend, gateway(config(backend, attempt, tmp_path)) as gate:
        told(gate)
        assert await send(gate, "/open/x", attempt) == 200, "it is not tried at all"
        assert len(backend.heads) == 1
        for _ in range(2):  # and no second time, when something is remembered
            assert await send(gate, "/closed/x", attempt) == attempt.status
        assert len(backend.heads) == 1, "it has reached the backend"
        await gate.recorded.collect()
        reason = {"spangate_denied_reason": attempt.reason, "spangate_check": "staff"}
        assert number(gate, "spangate.access.denied", **reason) == 2


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA", "HS256"])
async def test_a_good_token_gets_in(alg: str, tmp_path: Path) -> None:
    kid = {"RS256": "k1", "ES256": "e1", "EdDSA": "d1", "HS256": "s"}[alg]
    key = SECRET if alg == "HS256" else None
    attempt = of_token(
        "good",
        lambda: token(claims(), key=key, alg=alg, head={"kid": kid}),
        "",
        algorithms='["RS256", "ES256", "EdDSA", "HS256"]',
        more='secret = "SECRET"',
    )
    async with Backend() as backend, gateway(config(backend, attempt, tmp_path)) as gate:
        told(gate)
        for _ in range(2):
            assert await send(gate, "/closed/x", attempt) == 200
        assert backend.field("x-user") == "ada"


def test_the_helpers_make_good_tokens() -> None:
    first, second, _ = good().decode().split(".")
    assert sealed(first, second, private(), "RS256").startswith(f"{first}.{second}.".encode())
    assert signature(private("Ed25519"), "EdDSA", b"x")
