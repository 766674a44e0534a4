"""Authorities, certificates and peers for tests of TLS: made anew, on loopback, by real OpenSSL."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import trustme

from tests.harness import Backend, Client, Gateway


@cache
def authority(name: str = "one") -> trustme.CA:
    """Keys take time to make: one for all tests."""
    return trustme.CA(organization_name=f"authority {name}")


@cache
def leaf(*names: str, ca: str = "one") -> trustme.LeafCert:
    """URIs are names too."""
    return authority(ca).issue_cert(*names, common_name=names[0] if "://" not in names[0] else None)


def write(folder: Path, file: str, *names: str, ca: str = "one") -> tuple[str, str]:
    """Paths of a certificate with its chain, and of its key."""
    made = leaf(*names, ca=ca)
    cert, key = folder / f"{file}.pem", folder / f"{file}.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    key.chmod(0o600)
    return str(cert), str(key)


def write_ca(folder: Path, ca: str = "one") -> str:
    path = folder / f"ca-{ca}.pem"
    authority(ca).cert_pem.write_to_path(str(path))
    return str(path)


def trusting(ca: str = "one", shows: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """A client's context that knows one authority; `shows`: its own certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority(ca).configure_trust(context)
    if shows is not None:
        shows.configure_cert(context)
    return context


def listening(folder: Path, more: str = "", name: str = "gateway.test") -> str:
    """A listener with a certificate for `name`; `more` is within its table of TLS."""
    cert, key = write(folder, "edge", name)
    return f'[[listen]]\naddress = ":8443"\ntls = {{ cert = "{cert}", key = "{key}"{more} }}\n'


async def connect(
    gateway: Gateway, context: ssl.SSLContext | None = None, name: str | None = "gateway.test"
) -> Client:
    context = context or trusting()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", gateway.port, ssl=context, server_hostname=name, limit=2**24
    )
    return Client(reader, writer)


@contextlib.asynccontextmanager
async def secured(
    backend: Backend, shows: trustme.LeafCert, asks_for: str = ""
) -> AsyncIterator[str]:
    """`backend` behind TLS, whose certificate is `shows`; its URL. `asks_for`: whose clients it
    demands certificates of."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    shows.configure_cert(context)
    if asks_for:
        authority(asks_for).configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    async with serving(backend, context) as url:
        yield url


@contextlib.asynccontextmanager
async def serving(backend: Backend, context: ssl.SSLContext) -> AsyncIterator[str]:
    server = await asyncio.start_server(backend._serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for peer in backend.peers:
            peer.writer.transport.abort()
