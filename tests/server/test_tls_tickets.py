"""Keys of tickets and their daily change: who resumes, and who shakes hands in full again."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest

from proxy.server import tls_openssl
from proxy.server.tls_tickets import ROTATION, SIZE, TicketKeys, read_secrets, secrets
from tests.harness import Gateway, gateway
from tests.server.kit import eventually
from tests.server.tls_kit import listening, trusting, write_ca

FIRST, SECOND, THIRD = (bytes([n]) * SIZE for n in (1, 2, 3))
PONG = '[[route]]\npath = "/*"\nrespond = { status = 200, body = "pong" }\n'
ASK = b"GET / HTTP/1.1\r\nHost: gateway.test\r\nConnection: close\r\n\r\n"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]

reached = pytest.mark.skipif(tls_openssl._library() is None, reason="OpenSSL cannot be reached")


def test_keys_change_once_a_day() -> None:
    keys = TicketKeys(FIRST, now=100.0)
    assert not keys.is_due(100.0 + ROTATION - 1)
    assert keys.is_due(100.0 + ROTATION)
    keys.renew(SECOND, now=100.0 + ROTATION)
    assert (keys.current, keys.earlier) == (SECOND, FIRST)
    assert not keys.is_due(100.0 + 2 * ROTATION - 1)
    keys.renew(THIRD, now=100.0 + 2 * ROTATION)
    assert (keys.current, keys.earlier) == (THIRD, SECOND)


def test_what_the_frame_carries() -> None:
    keys = TicketKeys(FIRST, now=0.0)
    assert read_secrets(secrets(keys)) == (FIRST, b"", "")
    keys.renew(SECOND, now=ROTATION)
    assert read_secrets(secrets(keys, "/tmp/kéys")) == (SECOND, FIRST, "/tmp/kéys")


class Caller:
    """A client that keeps the session of its last connection."""

    def __init__(self, newest: ssl.TLSVersion) -> None:
        self._context = trusting()
        self._context.maximum_version = newest
        self.session: ssl.SSLSession | None = None

    async def resumes(self, gw: Gateway) -> bool:
        """Whether a new connection resumes that one; it asks once, and takes a new ticket."""
        return await asyncio.to_thread(self._call, gw.port)

    def _call(self, port: int) -> bool:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as link,
            self._context.wrap_socket(
                link, server_hostname="gateway.test", session=self.session
            ) as secured,
        ):
            secured.sendall(ASK)
            got = b""
            while data := secured.recv(65536):
                got += data
            assert got.endswith(b"pong")
            self.session = secured.session
            return bool(secured.session_reused)


@reached
@pytest.mark.parametrize("newest", VERSIONS)
async def test_a_ticket_outlives_one_change_of_keys(tmp_path: Path, newest: ssl.TLSVersion) -> None:
    """At every worker, two of which are told the same here."""
    config = listening(tmp_path) + PONG
    async with gateway(config) as one, gateway(config) as other:
        workers = (one, other)
        keys = TicketKeys(FIRST, now=0.0)

        def tell() -> None:
            for gw in workers:
                gw.worker.tls.share(secrets(keys))

        tell()
        steady, rare = Caller(newest), Caller(newest)
        assert not await steady.resumes(one)
        assert not await rare.resumes(one)
        assert await steady.resumes(other)
        keys.renew(SECOND, now=ROTATION)
        tell()
        for gw in (other, one, other):
            assert await steady.resumes(gw)
        newcomer = Caller(newest)
        assert not await newcomer.resumes(one)  # whom the earlier keys are not for
        assert await newcomer.resumes(other)
        keys.renew(THIRD, now=2 * ROTATION)
        tell()
        assert not await rare.resumes(other)  # in full, and it is served
        assert await newcomer.resumes(one)
        if newest == ssl.TLSVersion.TLSv1_3:  # a ticket of 1.2 is not renewed when it is used
            assert await steady.resumes(one)


@reached
async def test_who_shows_a_certificate_gets_no_ticket_after_a_change(tmp_path: Path) -> None:
    ca = write_ca(tmp_path)
    more = f', client = "request", client_ca = "{ca}"'
    async with gateway(listening(tmp_path, more) + PONG) as gw:
        caller = Caller(ssl.TLSVersion.TLSv1_3)
        keys = TicketKeys(FIRST, now=0.0)
        for fresh in (SECOND, THIRD):
            gw.worker.tls.share(secrets(keys))
            assert not await caller.resumes(gw)
            assert not await caller.resumes(gw)
            keys.renew(fresh, now=0.0)


async def test_a_ticket_that_nobody_knows(tmp_path: Path) -> None:
    """It names the earlier keys and is not sealed with them: a handshake in full."""
    async with gateway(listening(tmp_path) + PONG) as gw:
        keys = TicketKeys(FIRST, now=0.0)
        gw.worker.tls.share(secrets(keys))
        caller = Caller(ssl.TLSVersion.TLSv1_3)
        await caller.resumes(gw)
        keys.renew(SECOND, now=ROTATION)
        keys.earlier = FIRST[:16] + SECOND[16:]
        gw.worker.tls.share(secrets(keys))
        assert not await caller.resumes(gw)
        assert await caller.resumes(gw)
        await eventually(lambda: not gw.worker._connections)
