"""Tokens through a worker: what upstreams and spans are told, what is hidden, who waits."""

from __future__ import annotations

from pathlib import Path
from time import time
from typing import Any

import msgspec
import pytest

from proxy.server import frames
from proxy.server.keysets import QUESTION
from tests.access.tokens import AUDIENCE, ISSUER, jwk, kind_of, packed, private, token
from tests.harness import Backend, Gateway, gateway, routes
from tests.server.kit import trace

URL = "https://idp.test/jwks"


def config(backend: Backend, more: str = "", route: str = 'auth = "staff"') -> str:
    said = f'jwt = {{ issuer = "{ISSUER}", audience = ["{AUDIENCE}"], jwks = "{URL}"{more} }}'
    return routes(backend, f"[auth.staff]\n{said}", route)


def good(alg: str = "RS256", kid: str = "k1", number: int = 0, **more: Any) -> str:
    now = int(time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 600, **more}
    key = private(kind_of(alg), number)
    return token(claims, key=key, alg=alg, head={"kid": kid}).decode()


def tell(gate: Gateway, *keys: dict[str, Any], url: str = URL) -> None:
    """As the hub tells a worker."""
    known = {url: packed(*keys)} if keys else {}
    gate.recorded.send(frames.KEYS, msgspec.msgpack.encode(known))


def k1() -> dict[str, Any]:
    return jwk(private(), kid="k1")


async def test_the_upstream_and_the_span_are_told_who_it_is() -> None:
    more = ', headers = { x-user = "sub", x-roles = "roles" }, attributes = { "user.id" = "sub" }'
    async with Backend() as backend, gateway(config(backend, more)) as gate:
        tell(gate, k1())
        lines = (
            f"Authorization: Bearer {good(roles=['a', 'b'])}",
            "X-User: root", "x-user: root", "X_User: root", "X-Roles: admin",
        )  # fmt: skip
        assert (await gate.get("/x", *lines)).status == 200
        head = backend.heads[0].lower()
        assert b"root" not in head and b"admin" not in head
        assert backend.field("x-user") == "ada"
        assert backend.field("x-roles") == "a,b"
        assert backend.field("authorization")
        about = (await trace(gate)).about
        assert about["user.id"] == "ada"
        assert about["spangate.check"] == "staff"
        assert "eyJ" not in str(about)


async def test_a_token_that_is_not_kept_is_seen_by_nobody() -> None:
    more = ', keep = false, in = ["query:t", "cookie:t", "header:authorization"]'
    async with Backend() as backend, gateway(config(backend, more)) as gate:
        tell(gate, k1())
        for path, line in (
            (f"/x?a=1&t={good()}&b=2", "X-A: 1"),
            ("/x?a=1&b=2", f"Cookie: a=1; t={good()}; b=2"),
            ("/x?a=1&b=2", f"Authorization: Bearer {good()}"),
        ):
            assert (await gate.get(path, line)).status == 200
            assert b"eyJ" not in backend.heads[-1]
            assert backend.heads[-1].startswith(b"GET /x?a=1&b=2 ")
        await gate.recorded.collect()
        assert "eyJ" not in str(gate.recorded.spans)
        assert not any(b"eyJ" in line for line in gate.recorded.lines)


async def test_what_refused_clients_are_told() -> None:
    async with Backend() as backend, gateway(config(backend, ', scopes = ["a", "b"]')) as gate:
        assert (await gate.get("/x")).status == 401
        answer = await gate.get("/x", f"Authorization: Bearer {good()}")
        assert (answer.status, answer["retry-after"]) == (503, "5")
        tell(gate, k1())
        answer = await gate.get("/x")
        assert answer["www-authenticate"] == 'Bearer realm="spangate"'
        answer = await gate.get("/x", "Authorization: Bearer x")
        assert answer["www-authenticate"] == 'Bearer realm="spangate", error="invalid_token"'
        answer = await gate.get("/x", f"Authorization: Bearer {good(scope='a')}")
        assert answer.status == 403
        assert answer["www-authenticate"] == (
            'Bearer realm="spangate", error="insufficient_scope", scope="a b"'
        )
        assert (await gate.get("/x", f"Authorization: Bearer {good(scope='b a')}")).status == 200
        assert len(backend.heads) == 1


@pytest.mark.parametrize("alg", ["ES384", "ES512"])
async def test_signatures_that_take_long_are_verified_too(alg: str) -> None:
    more = f', algorithms = ["{alg}"]'
    async with Backend() as backend, gateway(config(backend, more)) as gate:
        tell(gate, jwk(private(kind_of(alg)), kid="k1"))
        for _ in range(2):
            assert (await gate.get("/x", f"Authorization: Bearer {good(alg)}")).status == 200
            stranger = f"Authorization: Bearer {good(alg, number=1)}"
            assert (await gate.get("/x", stranger)).status == 401
        assert len(backend.heads) == 2


async def test_an_unknown_key_is_asked_for_once_and_a_token_waits_for_it() -> None:
    async with Backend() as backend, gateway(config(backend)) as gate:
        tell(gate, k1())
        asked = questions(gate)
        first = await gate.connect()
        second = await gate.connect()
        for client in (first, second):
            line = f"Authorization: Bearer {good(kid='k2', number=1)}"
            client.write(f"GET /x HTTP/1.1\r\nHost: a\r\n{line}\r\n\r\n".encode())
        await gate.recorded.until(lambda: bool(asked))
        assert not backend.heads
        tell(gate, k1(), jwk(private("RSA", 1), kid="k2"))
        gate.recorded.send(frames.ANSWER, b"130.0", asked[0][0])
        assert (await first.answer()).status == (await second.answer()).status == 200
        line = f"Authorization: Bearer {good(kid='k3')}"
        assert (await gate.get("/x", line)).status == 401  # without a question: for 30 s
        assert [payload for _, payload in asked] == [QUESTION + b"\0" + URL.encode()]


async def test_keys_of_another_url_do_not_count_after_a_reload() -> None:
    async with Backend() as backend, gateway(config(backend)) as gate:
        tell(gate, k1())
        line = f"Authorization: Bearer {good()}"
        assert (await gate.get("/x", line)).status == 200
        await gate.reload(config(backend).replace(URL, URL + "2"))
        assert (await gate.get("/x", line)).status == 503
        tell(gate, jwk(private("RSA", 1), kid="k1"), url=URL + "2")
        assert (await gate.get("/x", line)).status == 401


async def test_a_secret_of_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 32 + b"\n")
    async with Backend() as backend:
        said = config(backend, f', secret = "{secret}", algorithms = ["HS256"]')
        async with gateway(said.replace(f'jwks = "{URL}", ', "")) as gate:
            now = int(time())
            claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 600}
            made = token(claims, key=b"s" * 32, alg="HS256").decode()
            assert (await gate.get("/x", f"Authorization: Bearer {made}")).status == 200
            made = token(claims, key=b"s" * 32 + b"\n", alg="HS256").decode()
            assert (await gate.get("/x", f"Authorization: Bearer {made}")).status == 401


def questions(gate: Gateway) -> list[tuple[int, bytes]]:
    """What the worker asks the hub from now on, as it comes."""
    found: list[tuple[int, bytes]] = []
    send = gate.worker.link.send

    def listen(kind: int, payload: bytes = b"", items: int = 0) -> None:
        if kind == frames.QUESTION:
            found.append((items, payload))
        send(kind, payload, items)

    gate.worker.link.send = listen  # type: ignore[method-assign]
    return found


async def test_a_token_in_one_of_several_cookie_lines_is_hidden_too() -> None:
    more = ', keep = false, in = ["cookie:t"]'
    async with Backend() as backend, gateway(config(backend, more)) as gate:
        tell(gate, k1())
        lines = ("Cookie: a=1", f"Cookie: t={good()}", "Cookie: b=2")
        assert (await gate.get("/x", *lines)).status == 200
        assert b"eyJ" not in backend.heads[-1]
        assert b"a=1" in backend.heads[-1] and b"b=2" in backend.heads[-1]
