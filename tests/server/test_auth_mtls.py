"""Client certificates as credentials, shown in real handshakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness import Backend, Gateway, gateway, routes
from tests.server.h2_kit import h2_client
from tests.server.kit import traces
from tests.server.tls_kit import connect, leaf, listening, trusting, write_ca

GET = b"GET /x HTTP/1.1\r\nHost: gateway.test\r\nX-Who: root\r\n\r\n"


def guarded(backend: Backend, folder: Path, said: str) -> str:
    more = f', client_ca = "{write_ca(folder)}", client = "request"'
    check = f"[auth.partners]\nmtls = {{ {said} }}\n"
    return routes(backend, listening(folder, more) + check, 'auth = "partners"')


async def status(gate: Gateway, *names: str) -> int:
    client = await connect(gate, trusting(shows=leaf(*names) if names else None))
    client.write(GET)
    answer = await client.answer()
    await client.close()
    return answer.status


PARTNERS = 'identities = ["spiffe://partner/*", "spiffe://mesh/orders"], header = "x-who"'


@pytest.mark.parametrize(
    ("names", "expected", "reason"),
    [
        (["spiffe://partner/a"], 200, ""),
        (["spiffe://partner/a/b"], 200, ""),
        (["spiffe://mesh/orders"], 200, ""),
        (["spiffe://mesh/other", "spiffe://partner/a"], 200, ""),
        ([], 401, "absent"),
        (["spiffe://mesh/orders2"], 403, "identity"),
        (["spiffe://partner.evil/a"], 403, "identity"),
        (["spiffe://partner/"], 403, "identity"),
        (["spiffe://PARTNER/a"], 403, "identity"),
        (["spiffe://partner/../mesh/x"], 403, "identity"),
        (["spiffe://partner/%2e%2e/x"], 403, "identity"),
    ],
)
async def test_identities(tmp_path: Path, names: list[str], expected: int, reason: str) -> None:
    async with Backend() as backend, gateway(guarded(backend, tmp_path, PARTNERS)) as gate:
        assert await status(gate, *names) == expected
        assert len(backend.heads) == (expected == 200)
        if expected == 200:
            head = backend.heads[0].lower()
            counted = names[-1].lower().encode()
            assert b"x-who: " + counted + b"\r\n" in head
            assert b"root" not in head
        else:
            (seen,) = await traces(gate)
            assert seen.about["spangate.denied.reason"] == reason


async def test_subjects(tmp_path: Path) -> None:
    async with Backend() as backend:
        config = guarded(backend, tmp_path, 'subjects = ["CN=orders.test"]')
        async with gateway(config) as gate:
            assert await status(gate, "orders.test") == 200
            assert await status(gate, "others.test") == 403
            assert await status(gate) == 401


async def test_over_http2_and_what_a_header_says_does_not_count(tmp_path: Path) -> None:
    async with Backend() as backend, gateway(guarded(backend, tmp_path, PARTNERS)) as gate:
        for shown, expected in ((leaf("spiffe://partner/a"), 200), (None, 401)):
            context = trusting(shows=shown)
            context.set_alpn_protocols(["h2"])
            client = await h2_client(gate, tls=context)
            claim = (b"x-forwarded-client-cert", b"URI=spiffe://partner/a")
            assert (await client.get("/x", claim)).status == expected
            client.transport.abort()
