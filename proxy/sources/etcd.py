"""etcd: PREFIX/routes/NAME and PREFIX/upstreams/NAME, each of them one JSON table, watched.

All keys are read at one revision, and watched from the next one on. Whatever breaks that, be it a
server that is gone or a history that was compacted away, begins it anew; what is in force stays
meanwhile. A key that cannot be used stays as it was, and the others go on.

By etcd's JSON gateway (https://etcd.io/docs/v3.5/dev-guide/api_grpc_gateway/): gRPC is not to be
loaded into the hub.
"""

from __future__ import annotations

import asyncio
import random
import time
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import msgspec

from proxy.config.source_model import EtcdSource
from proxy.sources.asking import Lines, Servers, Trouble, context, pause, said, whole
from proxy.sources.source import About, Given, Hears
from proxy.sources.units import Unit, Units

PAGE = 1000  # keys of an answer
BEAT = 5.0  # seconds of silence after which it is asked whether a server is there still
LONG = 60.0  # seconds after which the end of a watch has nothing to do with the one before
NO_GATEWAY = "this is no etcd, or one with --enable-grpc-gateway=false"
KINDS = ("routes", "upstreams")


class _Header(msgspec.Struct, frozen=True):
    revision: int = 0


class _Key(msgspec.Struct):
    key: bytes  # msgspec reads base64
    value: bytes = b""


class _Range(msgspec.Struct):
    header: _Header
    kvs: list[_Key] = []
    more: bool = False


class _Event(msgspec.Struct):
    kv: _Key
    type: str = "PUT"


class _Watched(msgspec.Struct):
    header: _Header = _Header()
    events: list[_Event] = []
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""


class _Failed(msgspec.Struct):
    message: str = ""
    code: int = 0


class _Line(msgspec.Struct):
    result: _Watched | None = None
    error: _Failed | None = None


_range = msgspec.json.Decoder(_Range, strict=False)  # etcd writes numbers as strings
_line = msgspec.json.Decoder(_Line, strict=False)


def make(settings: EtcdSource, about: About) -> Etcd:
    """See making."""
    return Etcd(settings, about)


class Etcd:
    """One prefix."""

    def __init__(self, settings: EtcdSource, about: About) -> None:
        self._settings = settings
        self._folder = about.folder
        self._prefix = settings.prefix.rstrip("/") + "/"
        self._units = Units()
        self._revision = 0
        self._token = ""
        self._hears: Hears | None = None

    async def watch(self, hears: Hears) -> None:
        """See Source."""
        self._hears = hears
        failures = 0
        servers: Servers | None = None
        try:
            while True:
                began = time.monotonic()
                try:
                    servers = servers or self._servers()
                    await self._follow(servers, hears)
                except Trouble as trouble:
                    # what is read is no sign that it can be watched again
                    hears.failed(str(trouble), in_part=True)
                    if servers is not None:
                        servers.next()
                self._token = ""
                failures = 1 if time.monotonic() - began > LONG else failures + 1
                await asyncio.sleep(pause(failures, random.random()))
        finally:
            if servers is not None:
                await servers.close()

    def settled(self, given: Given, reasons: Sequence[str]) -> bool:
        """See Source."""
        worse = self._units.settled(given, reasons)
        if worse or self._units.is_due:
            self._give()
        return worse

    def _servers(self) -> Servers:
        return Servers(self._settings.servers, context(self._settings.tls, self._folder))

    def _give(self) -> None:
        if self._hears is not None:
            self._hears.given(self._units.given(str(self._revision)))

    async def _follow(self, servers: Servers, hears: Hears) -> None:
        """Read all, and watch what changes. It ends where that has to begin anew."""
        await self._authenticate(servers)
        await self._read(servers)
        self._give()
        request = {
            **_within(self._prefix), "start_revision": self._revision + 1, "progress_notify": True
        }  # fmt: skip
        body = {"create_request": request}
        async with servers.ask(
            "POST", "/v3/watch", json=body, headers=self._headers(), seconds=None
        ) as response:
            lines = Lines(response)
            while (some := await lines.next(BEAT)) is not None:
                if not some:
                    await self._beat(servers)
                for line in some:
                    if not self._apply(_parsed(_line, line)):
                        return
                hears.heard()
        raise Trouble(f"{servers.url} has ended the watch")

    async def _authenticate(self, servers: Servers) -> None:
        if not self._settings.user:
            return
        body = {"name": self._settings.user, "password": self._settings.password}
        found = msgspec.json.decode(await self._post(servers, "/v3/auth/authenticate", body))
        self._token = str(found.get("token", "")) if isinstance(found, dict) else ""

    async def _read(self, servers: Servers) -> None:
        """All keys, as they were at one time."""
        within = _within(self._prefix)
        body: dict[str, Any] = {**within, "limit": PAGE}
        there: set[str] = set()
        while True:
            page = _parsed(_range, await self._post(servers, "/v3/kv/range", body))
            self._revision = int(body.get("revision", page.header.revision))
            for one in page.kvs:
                there.add(self._put(one))
            if not page.more or not page.kvs:
                break
            body = {**body, "revision": self._revision, "key": _coded(page.kvs[-1].key + b"\0")}
        self._units.keep(there)

    async def _beat(self, servers: Servers) -> None:
        """Whether there is somebody who knows: a member that has lost the others does not."""
        body = {"key": _coded(self._prefix.encode()), "count_only": True}
        await self._post(servers, "/v3/kv/range", body)

    async def _post(self, servers: Servers, path: str, body: Any) -> bytes:
        async with servers.ask("POST", path, json=body, headers=self._headers()) as response:
            answer = await whole(response)
            if response.status == 200:
                return answer
            why = _message(answer) if response.status != 404 else NO_GATEWAY
            raise Trouble(f"{servers.url} answered {response.status}: {why}")

    def _headers(self) -> dict[str, str]:
        return {"Authorization": self._token} if self._token else {}

    def _apply(self, line: _Line) -> bool:
        """What one line says; False = all must be read again."""
        if line.error is not None:
            raise Trouble(f"the watch has failed: {said(line.error.message)}")
        told = line.result or _Watched()
        if told.canceled:
            if told.compact_revision:
                return False  # the history since then is gone, and there is no harm in that
            raise Trouble(f"the watch was ended: {said(told.cancel_reason)}")
        for event in told.events:
            if event.type == "DELETE":
                self._units.drop(_place(event.kv.key))
            else:
                self._put(event.kv)
        if told.events:
            self._revision = told.header.revision
            self._give()
        return True

    def _put(self, one: _Key) -> str:
        """Its place."""
        place = _place(one.key)
        try:
            self._units.put(place, unit_of(one.key, one.value, self._prefix))
        except ValueError as error:
            self._units.wrong(place, said(error), hash(one.value))
        return place


def unit_of(key: bytes, value: bytes, prefix: str) -> Unit:
    """What a key says. ValueError, in words."""
    try:
        kind, _, name = key.decode().removeprefix(prefix).partition("/")
    except UnicodeDecodeError:
        raise ValueError("its key is no UTF-8") from None
    if kind not in KINDS or not name:
        raise ValueError(f"keys are {prefix}routes/NAME and {prefix}upstreams/NAME")
    try:
        table = msgspec.json.decode(value)
    except ValueError as error:
        raise ValueError(f"its value is no JSON: {error}") from None
    except RecursionError:
        raise ValueError("its value is nested too deeply") from None
    if not isinstance(table, dict):
        raise ValueError("its value is no JSON table")
    if kind == "upstreams":
        return Unit(upstreams={name: table})
    if table.setdefault("name", name) != name:
        raise ValueError("a route is called by its key: leave out `name`")
    return Unit(routes=[table])


def _place(key: bytes) -> str:
    return f"etcd key {key.decode(errors='backslashreplace')}"


def _within(prefix: str) -> dict[str, str]:
    """The range of all keys that begin so."""
    first = prefix.encode()
    return {"key": _coded(first), "range_end": _coded(first[:-1] + bytes([first[-1] + 1]))}


def _coded(key: bytes) -> str:
    return b64encode(key).decode()


def _parsed(decoder: msgspec.json.Decoder[Any], data: bytes) -> Any:
    try:
        return decoder.decode(data)
    except (ValueError, RecursionError) as error:
        raise Trouble(f"the answer is none of etcd's: {said(error)}") from None


def _message(answer: bytes) -> str:
    try:
        return said(msgspec.json.decode(answer, type=_Failed).message)
    except ValueError:
        return "nothing that etcd would say"
