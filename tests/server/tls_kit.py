"""Authorities, certificates and peers for tests of TLS: made anew, on loopback, by real OpenSSL."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

from proxy.config import local_ca
from tests.harness import Backend, Client, Gateway

_FOLDERS: dict[str, tempfile.TemporaryDirectory[str]] = {}  # of authorities, for all tests


def authority(name: str = "one") -> Path:
    """The folder of an authority, made when it is first asked for."""
    if name not in _FOLDERS:
        _FOLDERS[name] = tempfile.TemporaryDirectory()
        leaf("authority.test", ca=name)
    return Path(_FOLDERS[name].name)


@cache
def leaf(*names: str, ca: str = "one") -> local_ca.Made:
    """A certificate and its key; URIs are names too."""
    made = local_ca.make(str(authority(ca)), names)
    # By all of its names: the next with the same first one is made in this one's place.
    own = f"of {'+'.join(names).replace('/', '_')}"
    cert, key = (path.rename(path.with_stem(own)) for path in (made.cert, made.key))
    return dataclasses.replace(made, cert=cert, key=key)


def write(folder: Path, file: str, *names: str, ca: str = "one") -> tuple[str, str]:
    """Paths of a certificate with its chain, and of its key."""
    made = leaf(*names, ca=ca)
    cert, key = folder / f"{file}.pem", folder / f"{file}.key"
    shutil.copy(made.cert, cert)
    shutil.copy(made.key, key)
    return str(cert), str(key)


def write_ca(folder: Path, ca: str = "one") -> str:
    return str(shutil.copy(authority(ca) / local_ca.CA, folder / f"ca-{ca}.pem"))


def trusting(ca: str = "one", shows: local_ca.Made | None = None) -> ssl.SSLContext:
    """A client's context that knows one authority; `shows`: its own certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(authority(ca) / local_ca.CA)
    if shows is not None:
        context.load_cert_chain(shows.cert, shows.key)
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
async def secured(backend: Backend, shows: local_ca.Made, asks_for: str = "") -> AsyncIterator[str]:
    """`backend` behind TLS, whose certificate is `shows`; its URL. `asks_for`: whose clients it
    demands certificates of."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shows.cert, shows.key)
    context.set_alpn_protocols(["http/1.1"])
    if asks_for:
        context.load_verify_locations(authority(asks_for) / local_ca.CA)
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
