"""The admin port of a running gateway, by the standard library's HTTP over TCP or a Unix socket.

aiohttp would take a third of a second to import, for one request. Whatever goes wrong becomes a
Trouble that says what to do about it.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import TypeGuard
from urllib.parse import urlencode, urlsplit

PATIENCE = 10.0  # seconds for an answer
# The gateway writes a comment every 15 s where nothing happens; three that fail to come are a loss.
SILENCE = 50.0
MOST = 64 * 1024 * 1024  # bytes of an answer
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # where who listens there is reached

_TOLD = re.compile(r"[45]\d\d [A-Z][A-Za-z ]+: (.+)|(not ready: .+)")

Query = Mapping[str, str]


class Trouble(Exception):
    """Why there is no answer, and what to do; `code` is the exit code of the command.

    `gone`: nobody was there, or not any more; it may come back.
    """

    def __init__(self, why: str, *, code: int = 1, gone: bool = False, status: int = 0) -> None:
        super().__init__(why)
        self.code = code
        self.gone = gone
        self.status = status


@dataclass(frozen=True, slots=True)
class Address:
    """Where the admin port is: a Unix socket's path, or host and port; `prefix` of all paths."""

    written: str
    host: str = "localhost"
    port: int = 80
    prefix: str = ""
    socket: str = ""


def address(url: str) -> Address:
    """Read `http://host:port`, `host:port`, `:port` or `unix:/path`; ValueError in words."""
    if url.startswith("unix:"):
        path = url.removeprefix("unix:").removeprefix("//")
        if not path:
            raise ValueError("a Unix socket needs its path: unix:/run/spangate.sock")
        return Address(url, socket=path)
    full = url if "://" in url else f"http://{'127.0.0.1' if url.startswith(':') else ''}{url}"
    parts = urlsplit(full)
    if parts.scheme != "http":
        raise ValueError(f"{url!r}: the admin port speaks plain http: http://127.0.0.1:9901")
    if not _is_host(parts.hostname) or not full.isascii() or not full.isprintable() or " " in full:
        raise ValueError(f"{url!r} is no address: write http://127.0.0.1:9901 or unix:/path")
    try:
        port = 80 if parts.port is None else parts.port
    except ValueError as error:
        raise ValueError(f"{url!r}: {error}") from None
    host = _EVERYWHERE.get(parts.hostname, parts.hostname)
    return Address(full.rstrip("/"), host, port, parts.path.rstrip("/"))


def _is_host(name: str | None) -> TypeGuard[str]:
    """Whether it can be looked up at all: no empty labels, none of more than 63 bytes."""
    try:
        return name is not None and bool(name.encode("idna"))
    except UnicodeError:
        return False


class Gateway:
    """A running gateway, as its admin port shows it."""

    __slots__ = ("_token", "at")

    def __init__(self, at: Address, token: str = "") -> None:
        self.at = at
        self._token = token

    def get(self, path: str, query: Query | None = None) -> object:
        """The JSON that is there; raises Trouble."""
        with self._asked(path, query or {}, PATIENCE) as response, self._told():
            body = response.read(MOST)
        try:
            answer: object = json.loads(body)
        except (ValueError, RecursionError):
            raise self._stranger() from None
        return answer

    def is_ready(self) -> bool:
        """Whether traffic may come; raises Trouble with the reason if not."""
        with self._asked("/ready", {}, PATIENCE) as response, self._told():
            if response.read(64) == b"ready\n":
                return True
        raise self._stranger()

    @contextmanager
    def follow(self, path: str, query: Query) -> Iterator[Iterator[bytes]]:
        """What comes there for as long as it comes, in pieces; raises Trouble, also at the end."""
        with self._asked(path, query, SILENCE) as response:
            if "text/event-stream" not in (response.headers.get("Content-Type") or ""):
                raise self._stranger()
            yield self._pieces(response)

    def _pieces(self, response: HTTPResponse) -> Iterator[bytes]:
        with self._told():
            while piece := response.read1(65536):
                yield piece
        raise Trouble(f"{self.at.written} has closed the connection", gone=True)

    @contextmanager
    def _asked(self, path: str, query: Query, patience: float) -> Iterator[HTTPResponse]:
        target = self.at.prefix + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json, text/event-stream"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        with self._told():
            connection = self._connect(patience)
        with closing(connection):
            with self._told():
                connection.request("GET", target, headers=headers)
                response = connection.getresponse()
            with closing(response):
                if response.status != 200:
                    raise self._refused(path, response)
                yield response

    def _connect(self, patience: float) -> HTTPConnection:
        """Connected, within a few seconds, whatever the patience is later."""
        connection = HTTPConnection(self.at.host, self.at.port, timeout=PATIENCE)
        if self.at.socket:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(PATIENCE)
            connection.sock.connect(self.at.socket)
        else:
            connection.connect()
        connection.sock.settimeout(patience)
        return connection

    @contextmanager
    def _told(self) -> Iterator[None]:
        """What the system and the library say, in words and with what to do."""
        where = self.at.written
        try:
            yield
        except (ConnectionRefusedError, FileNotFoundError):
            raise Trouble(
                f"no gateway at {where}: start one (spangate run), or say where its admin port is"
                " ([admin] listen) by --admin URL or SPANGATE_ADMIN",
                gone=True,
            ) from None
        except PermissionError:
            raise Trouble(f"{where}: not allowed to use this socket; ask as its owner") from None
        except TimeoutError:
            raise Trouble(f"{where} gives no answer: is it the admin port?", gone=True) from None
        except HTTPException:
            raise Trouble(f"{where} does not speak HTTP as it should", gone=True) from None
        except OSError as error:
            raise Trouble(f"cannot reach {where}: {error.strerror or error}", gone=True) from None

    def _refused(self, path: str, response: HTTPResponse) -> Trouble:
        status, where = response.status, self.at.written
        with self._told():
            said = _error(response.read(65536))
        if status == 401:
            what = "does not take this token" if self._token else "wants a token"
            remedy = "give that of its [admin] token by --token or SPANGATE_ADMIN_TOKEN"
            return Trouble(f"{where} {what}: {remedy}", status=status)
        if status == 403:
            remedy = "this name is not one of the admin port's; name it in [admin] hosts"
            return Trouble(f"{where}: {said or remedy}", status=status)
        if status == 404 and not said:
            return Trouble(
                f"{where} has no {path}: it is an older gateway, one with [admin] ui = false,"
                " or not the admin port (--admin)",
                status=status,
            )
        if status < 500:
            code = 2 if status == 400 else 1
            return Trouble(f"{where}: {said or f'status {status}'}", code=code, status=status)
        return Trouble(f"{where}: {said or f'status {status}'}", gone=True, status=status)

    def _stranger(self) -> Trouble:
        return Trouble(
            f"what {self.at.written} answers is not a gateway's: --admin names the admin port,"
            " not the port for requests"
        )


def _error(body: bytes) -> str:
    """What an answer says is wrong: `{"error": …}`, "not ready: …", or the rest of
    "403 Forbidden: …"; or ""."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        told = _TOLD.match(body.decode(errors="replace"))
        return (told[1] or told[2]) if told else ""
    said = answer.get("error") if isinstance(answer, dict) else None
    return said if isinstance(said, str) else ""
