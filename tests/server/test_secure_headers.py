"""Lines that make browsers careful, on whatever a route answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import Backend, gateway, routes
from tests.server import tls_kit
from tests.server.h2_kit import h2_client
from tests.server.kit import ask, refusing, reply, routing, script

SECURE = "secure_headers = true"
HSTS = "strict-transport-security"


async def test_every_answer_has_them_once() -> None:
    theirs = ("X-FRAME-OPTIONS: SAMEORIGIN", "Referrer-Policy: no-referrer")
    async with Backend(script(reply(200, b"ok", *theirs))) as backend:
        async with gateway(routes(backend, route=SECURE)) as gate:
            answer = await gate.get("/")
            assert answer["x-content-type-options"] == "nosniff"
            assert answer["x-frame-options"] == "SAMEORIGIN"
            assert answer["referrer-policy"] == "no-referrer"
            assert answer["cross-origin-opener-policy"] == "same-origin"
            assert answer[HSTS] == ""
            got = await (await h2_client(gate)).get("/")
            assert got["x-content-type-options"] == "nosniff"
            assert got["x-frame-options"] == "SAMEORIGIN"
        async with gateway(routes(backend)) as gate:
            assert (await gate.get("/"))["x-content-type-options"] == ""


async def test_errors_and_the_gateway_s_own_answers() -> None:
    with refusing() as down:
        more = f"""
[[route]]
path = "/own"
respond = "own"
{SECURE}
[[route]]
path = "/denied"
to = "b"
allow = ["10.0.0.0/8"]
{SECURE}
[[route]]
path = "/*"
to = "b"
{SECURE}
"""
        async with gateway(routing({"b": [down]}, more)) as gate:
            for path, status in (("/own", 200), ("/denied", 403), ("/", 503)):
                answer = await gate.get(path)
                assert answer.status == status
                assert answer["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("https", "max-age=31536000; includeSubDomains"),
        ("http", ""),
    ],
)
async def test_hsts_goes_by_what_trusted_peers_say_of_the_client(said: str, expected: str) -> None:
    trust = '[forwarding]\ntrust = ["127.0.0.1"]\n'
    async with Backend() as backend:
        async with gateway(routes(backend, trust, SECURE)) as gate:
            assert (await gate.get("/", f"X-Forwarded-Proto: {said}"))[HSTS] == expected
        nobody = trust.replace('"127.0.0.1"', "")
        async with gateway(routes(backend, nobody, SECURE)) as gate:
            assert (await gate.get("/", f"X-Forwarded-Proto: {said}"))[HSTS] == ""


async def test_hsts_over_tls(tmp_path: Path) -> None:
    async with Backend() as backend:
        route = 'secure_headers = { hsts = "max-age=60" }'
        async with gateway(routes(backend, tls_kit.listening(tmp_path), route)) as gate:
            client = await tls_kit.connect(gate)
            assert (await ask(client, "GET", "/"))[HSTS] == "max-age=60"


async def test_what_the_route_says_itself_wins() -> None:
    route = 'secure_headers = true\nheaders.response.set = { x-frame-options = "SAMEORIGIN" }\n'
    route += 'headers.response.remove = ["cross-origin-opener-policy"]\n'
    route += 'headers.response.add = { referrer-policy = "no-referrer" }'
    async with Backend() as backend, gateway(routes(backend, route=route)) as gate:
        answer = await gate.get("/")
        assert answer["x-frame-options"] == "SAMEORIGIN"
        assert answer["cross-origin-opener-policy"] == ""
        assert answer["referrer-policy"] == "no-referrer"
        assert answer["x-content-type-options"] == "nosniff"
