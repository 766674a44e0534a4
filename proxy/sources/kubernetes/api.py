"""One API server: who is asked, with which token, and what its answers mean.

The token is read again before every request that needs it, since it rotates; so are the
authorities, after a failure.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from proxy.config.source_model import KubernetesSource
from proxy.config.upstream_model import UpstreamTls
from proxy.sources.asking import ANSWER, Servers, Trouble, context, said, whole
from proxy.sources.source import About

POD = "/var/run/secrets/kubernetes.io/serviceaccount"
MERGE = "application/merge-patch+json"
SLOWEST = 60.0  # seconds that "Retry-After" may ask for


class Absent(Exception):
    """404: there is no such collection or object."""


class Gone(Exception):
    """410: what was asked for is too old, so all of it is to be listed again."""


class Conflict(Exception):
    """409: the object is another one by now."""


class Forbidden(Trouble):
    """403: this account may not do that."""


class Later(Trouble):
    """429 or the like: it says after how many seconds to come again."""

    def __init__(self, why: str, seconds: float) -> None:
        super().__init__(why)
        self.seconds = seconds


class _Status(msgspec.Struct):
    """What an API server says about a failure (metav1.Status)."""

    message: str = ""
    reason: str = ""


_status = msgspec.json.Decoder(_Status)


class Api:
    """Of one cluster."""

    def __init__(self, settings: KubernetesSource, about: About) -> None:
        self._settings = settings
        self._folder = about.folder
        self._url = settings.server or _of_pod(about.environ)
        self._servers: Servers | None = None
        self._opening = asyncio.Lock()

    @property
    def url(self) -> str:
        return self._url

    async def close(self) -> None:
        servers, self._servers = self._servers, None
        if servers is not None:
            await servers.close()

    async def get(self, path: str) -> bytes:
        async with self.ask("GET", path) as response:
            return await whole(response)

    async def patch_status(self, path: str, patch: Mapping[str, Any]) -> bytes:
        """The object as it is afterwards; Conflict, Absent or Trouble if it was not changed."""
        async with self.ask("PATCH", f"{path}/status", patch) as response:
            return await whole(response)

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, body: Any = None, seconds: float | None = ANSWER
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer; Absent, Gone, Conflict or Trouble for any other."""
        if not self._url:
            raise Trouble(
                "no server is named, and this is no pod: there is no KUBERNETES_SERVICE_HOST"
            )
        servers = await self._open()
        headers = {"Content-Type": MERGE} if method == "PATCH" else {}
        if token := self._token():
            headers["Authorization"] = f"Bearer {token}"
        try:
            asked = servers.ask(method, path, json=body, headers=headers, seconds=seconds)
            async with asked as response:
                if response.status >= 300:
                    await _raise(response, path.partition("?")[0])
                yield response
        except Later:
            raise
        except Trouble as trouble:
            if isinstance(trouble.__context__, ssl.SSLError | aiohttp.ClientSSLError):
                await self.close()  # the authorities may be others by now
            raise

    async def _open(self) -> Servers:
        """Authorities are read in a thread: those of the system take 40 ms."""
        async with self._opening:
            if self._servers is None:
                secure = self._url.startswith("https:")
                tls = await asyncio.to_thread(self._tls) if secure else None
                self._servers = Servers([self._url], tls, at_once=0)
            return self._servers

    def _tls(self) -> Any:
        ca = self._settings.ca or (f"{POD}/ca.crt" if not self._settings.server else "")
        return context(UpstreamTls(ca=ca), self._folder)

    def _token(self) -> str:
        path = self._settings.token or (f"{POD}/token" if not self._settings.server else "")
        if not path:
            return ""
        try:
            with open(os.path.join(self._folder, path), encoding="ascii") as file:
                token = file.read(65536).strip()
        except (OSError, ValueError) as error:
            raise Trouble(f"the token cannot be read: {said(error)}") from None
        if not token.isprintable():
            raise Trouble(f"the file {path} holds no token")
        return token


def _of_pod(environ: Mapping[str, str]) -> str:
    host = environ.get("KUBERNETES_SERVICE_HOST", "")
    if not host:
        return ""
    port = environ.get("KUBERNETES_SERVICE_PORT_HTTPS") or environ.get("KUBERNETES_SERVICE_PORT")
    return f"https://{f'[{host}]' if ':' in host else host}:{port or 443}"


async def _raise(response: aiohttp.ClientResponse, path: str) -> None:
    body = await whole(response)
    why, status = reason(body), response.status
    if status == 404:
        raise Absent(path)
    if status == 410:
        raise Gone(path)
    if status == 409:
        raise Conflict(path)
    if status == 401:
        raise Trouble(f"the token is not accepted (401): {why}")
    if status == 403:
        raise Forbidden(f"{path}: this account may not do that (403): {why}")
    text = f"{path} answered {status}: {why}"
    after = response.headers.get("Retry-After", "")
    if status in (429, 503) and after.isascii() and after.isdigit():
        raise Later(text, min(float(after[:9]), SLOWEST))
    raise Trouble(text)


def reason(body: bytes) -> str:
    """What an API server says about a failure, in one line."""
    try:
        return said(_status.decode(body).message)
    except ValueError:
        return said(body[:1000].decode(errors="replace"))
