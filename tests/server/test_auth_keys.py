"""API keys over real sockets: where they are looked for, who is let in, and who never sees them."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from random import Random

import pytest

from proxy.config import key_form
from tests.harness import OK, Backend, Gateway, Peer, gateway, routes
from tests.server.h2_kit import h2_client
from tests.server.kit import number, traces

GOOD, OLD, OFF, OTHER = (key_form.new(Random(n).randrange) for n in range(4))
FOREIGN = "a-key-of-another-program"
CHANGED = GOOD[:-1] + ("x" if GOOD[-1] != "x" else "y")  # its checksum is wrong


def hashed(key: str) -> str:
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def write(folder: Path) -> str:
    over = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    text = f"""
[[key]]
name = "shop"
hash = "{hashed(GOOD)}"
scopes = ["orders:read"]
[[key]]
name = "shop"
hash = "{hashed(FOREIGN)}"
[[key]]
name = "old"
hash = "{hashed(OLD)}"
expires = {over}
[[key]]
name = "off"
hash = "{hashed(OFF)}"
disabled = true
"""
    path = folder / "keys.toml"
    path.write_text(text)
    return str(path)


def guarded(
    backend: Backend, folder: Path, places: str, more: str = "", route: str = "", top: str = ""
) -> str:
    check = f'[auth.keys]\napi_key = {{ in = [{places}], file = "{write(folder)}"{more} }}\n'
    return routes(backend, top + check, f'auth = "keys"\n{route}')


ALL = '"header:x-api-key", "bearer", "cookie:key", "query:key"'
LET_IN = [
    ("/x", [f"X-Api-Key: {GOOD}"]),
    ("/x", [f"X-Api-Key: {FOREIGN}"]),
    ("/x", [f"Authorization: Bearer {GOOD}"]),
    ("/x", [f"authorization: APIKEY {GOOD}"]),
    ("/x", [f"Cookie: a=1; key={GOOD}; b=2"]),
    (f"/x?a=1&key={GOOD}&b=2", []),
    (f"/x?a=1&k%65y={GOOD.replace('_', '%5F')}", []),
    (f"/x?key={OTHER}", [f"X-Api-Key: {GOOD}"]),  # the first place counts
    ("/x", ["Authorization: Basic YTpi", f"X-Api-Key: {GOOD}"]),
]


@pytest.mark.parametrize(("path", "lines"), LET_IN)
async def test_who_is_let_in_and_nobody_behind_sees_the_key(
    tmp_path: Path, path: str, lines: list[str]
) -> None:
    async with Backend() as backend:
        config = guarded(backend, tmp_path, ALL, ', header = "x-consumer"')
        config = config.replace("[export]", "[access_log]\nstdout = true\notlp = true\n[export]")
        async with gateway(config) as gate:
            assert (await gate.get(path, "X-Consumer: root", *lines)).status == 200
            head = backend.heads[0].decode()
            for key in (GOOD, FOREIGN, OTHER, GOOD.replace("_", "%5F")):
                assert key not in head
            assert "x-consumer: shop\r\n" in head.lower()
            assert "root" not in head
            assert ("a=1" in head) == ("a=1" in path + "".join(lines))
            (seen,) = await traces(gate)
            assert seen.about["enduser.id"] == "shop"
            recorded = f"{gate.recorded.spans}{gate.recorded.logs}{gate.recorded.lines}"
            assert gate.recorded.lines and gate.recorded.logs
            for key in (GOOD, FOREIGN, OTHER, GOOD[12:44]):
                assert key not in recorded


REFUSED = [
    ("/x", [], "absent"),
    ("/x", ["X-Api-Key:"], "absent"),
    ("/x?key=", [], "absent"),
    ("/x", ["Authorization: Basic YTpi"], "absent"),
    ("/x", [f"X_Api_Key: {GOOD}"], "absent"),
    ("/x;key=" + GOOD, [], "absent"),
    ("/x?KEY=" + GOOD, [], "absent"),
    ("/x", [f"X-Api-Key: {OTHER}"], "unknown_key"),
    ("/x", ["X-Api-Key: sg"], "unknown_key"),
    ("/x", [f"X-Api-Key: {OTHER}", f"Cookie: key={GOOD}"], "unknown_key"),
    ("/x", [f"X-Api-Key: {hashed(GOOD)}"], "unknown_key"),
    ("/x", [f"X-Api-Key: {CHANGED}"], "malformed"),
    ("/x", [f"X-Api-Key: {GOOD[:-1]}"], "malformed"),
    ("/x", [f"X-Api-Key: {GOOD}", f"X-Api-Key: {GOOD}"], "malformed"),
    ("/x", [f"X-Api-Key: {GOOD}, {GOOD}"], "malformed"),
    ("/x", [f"X-Api-Key: {GOOD} {GOOD}"], "malformed"),
    ("/x", ["X-Api-Key: " + "a" * 513], "malformed"),
    ("/x", [f"Authorization: Bearer {GOOD}", f"Authorization: Bearer {GOOD}"], "malformed"),
    ("/x", [f"Cookie: key={GOOD}; key={OTHER}"], "malformed"),
    (f"/x?key={GOOD}&key={OTHER}", [], "malformed"),
    (f"/x?key={GOOD}&k%65y={GOOD}", [], "malformed"),
    (f"/x?key={GOOD}%00", [], "malformed"),
    ("/x", [f"X-Api-Key: {OLD}"], "expired"),
    ("/x", [f"X-Api-Key: {OFF}"], "disabled"),
]


@pytest.mark.parametrize(("path", "lines", "reason"), REFUSED)
async def test_who_is_refused_and_why(
    tmp_path: Path, path: str, lines: list[str], reason: str
) -> None:
    async with Backend() as backend, gateway(routes(backend)) as gate:
        assert (await gate.get(path, *lines)).status == 200  # it is the key that decides
        heads = len(backend.heads)
        await gate.reload(guarded(backend, tmp_path, ALL))
        answer = await gate.get(path, *lines)
        assert answer.status == 401
        assert answer["www-authenticate"].startswith('Bearer realm="spangate"')
        assert len(backend.heads) == heads
        seen = (await traces(gate, 2))[1]
        assert seen.about["spangate.denied.reason"] == reason
        known = str(seen.server)
        if reason != "absent":  # what is in no place of a key is not known as one
            assert not any(key in known for key in (GOOD, OLD, OFF, OTHER))
        labels = {"spangate_check": "keys", "spangate_denied_reason": reason}
        await gate.recorded.collect()
        assert number(gate, "spangate.access.denied", spangate_route="all", **labels) == 1


async def test_a_key_is_passed_on_if_that_is_said(tmp_path: Path) -> None:
    async with Backend() as backend:
        config = guarded(backend, tmp_path, ALL, ", keep = true")
        async with gateway(config) as gate:
            path, cookie = f"/x?key={OTHER}", f"Cookie: key={OFF}"
            assert (await gate.get(path, f"X-Api-Key: {GOOD}", cookie)).status == 200
            head = backend.heads[0].decode()
            assert all(key in head for key in (GOOD, OTHER, OFF))


async def test_whose_key_it_is_wins_over_what_the_client_says(tmp_path: Path) -> None:
    top = '[attributes]\n"enduser.id" = "header:x-me"\n'
    async with Backend() as backend:
        config = guarded(backend, tmp_path, '"header:x-api-key"', top=top)
        async with gateway(config) as gate:
            await gate.get("/x", f"X-Api-Key: {GOOD}", "X-Me: root")
            (seen,) = await traces(gate)
            assert seen.about["enduser.id"] == "shop"


async def test_scopes_of_keys(tmp_path: Path) -> None:
    async with Backend() as backend:
        config = guarded(backend, tmp_path, '"header:x-api-key"')
        use = 'auth = { any = ["keys"], scopes = ["orders:read"] }'
        async with gateway(config.replace('auth = "keys"', use)) as gate:
            assert (await gate.get("/x", f"X-Api-Key: {GOOD}")).status == 200
            assert (await gate.get("/x", f"X-Api-Key: {FOREIGN}")).status == 403


async def test_over_http2(tmp_path: Path) -> None:
    async with Backend() as backend:
        config = guarded(backend, tmp_path, '"header:x-api-key", "cookie:key", "query:key"')
        async with gateway(config) as gate:
            client = await h2_client(gate)
            name = b"x-api-key"
            assert (await client.get("/x", (name, GOOD.encode()))).status == 200
            crumbs = [(b"cookie", b"a=1"), (b"cookie", b"key=" + GOOD.encode())]
            assert (await client.get("/x", *crumbs)).status == 200
            assert (await client.get("/x?key=" + GOOD)).status == 200
            refused = await client.get("/x", (name, OTHER.encode()))
            assert refused.status == 401
            assert refused["www-authenticate"] == 'ApiKey realm="spangate"'
            twice = [(name, GOOD.encode()), (name, GOOD.encode())]
            assert (await client.get("/x", *twice)).status == 401
            assert not any(GOOD.encode() in head for head in backend.heads)
            client.transport.abort()


async def test_a_removed_key_counts_no_more_after_a_reload(tmp_path: Path) -> None:
    async with Backend() as backend:
        config = guarded(backend, tmp_path, '"header:x-api-key"')
        async with gateway(config) as gate:
            assert (await _with(gate, GOOD)) == 200
            file = tmp_path / "keys.toml"
            file.write_text(file.read_text().replace(hashed(GOOD), hashed(OTHER)))
            await gate.reload(config)
            assert (await _with(gate, GOOD)) == 401
            assert (await _with(gate, OTHER)) == 200


async def _with(gate: Gateway, key: str) -> int:
    return (await gate.get("/x", f"X-Api-Key: {key}")).status


async def test_a_key_that_nobody_asked_for_does_not_go_either(tmp_path: Path) -> None:
    """Another check of the route has let in, before the turn of the keys came."""
    top = '[auth.sso.oidc]\nissuer = "https://id.test"\nclient_id = "shop"\n'
    top += f'secret = "{"s" * 32}"\n[auth.first]\n'
    top += f'api_key = {{ in = ["header:x-first"], file = "{write(tmp_path)}" }}\n'
    async with Backend() as backend:
        config = guarded(backend, tmp_path, ALL, top=top)
        config = config.replace('auth = "keys"', 'auth = ["first", "keys", "sso"]')
        async with gateway(config) as gate:
            session = "__Host-spangate=of-a-browser"
            cookies = f"Cookie: a=1; key={GOOD}; {session}"
            assert (await gate.get(f"/x?key={GOOD}&b=2", f"X-First: {GOOD}", cookies)).status == 200
            head = backend.heads[0].decode()
            assert GOOD not in head and session not in head
            assert "/x?b=2 " in head and "a=1" in head


async def test_trailers_do_not_bring_back_what_the_check_writes(tmp_path: Path) -> None:
    got: list[bytes] = []

    async def handler(peer: Peer) -> None:
        got.append(await peer.head())
        await peer.reader.readuntil(b"0\r\n")
        got.append(await peer.reader.readuntil(b"\r\n\r\n"))
        peer.write(OK)

    async with Backend(handler) as backend:
        config = guarded(backend, tmp_path, '"header:x-api-key"', ', header = "x-consumer"')
        async with gateway(config) as gate:
            client = await h2_client(gate)
            stream = client.ask("POST", "/", (b"x-api-key", GOOD.encode()), end=False)
            client.data(stream, b"abc")
            forged = [(b"x-consumer", b"root"), (b"x_consumer", b"root"), (b"x-api-key", b"k")]
            client.session.send_trailers(stream, [*forged, (b"x-sum", b"6")])
            client.flush()
            assert (await client.answer(stream)).status == 200
    assert b"x-consumer: shop\r\n" in got[0]
    assert got[1] == b"x-sum: 6\r\n\r\n"
