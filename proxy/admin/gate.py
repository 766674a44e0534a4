"""Gate: who may see what the admin port knows, and who may change something.

Where `[admin] token` is set, pages' data and changes need it (RFC 6750 §2.1). Without one, data is
open where the port is: on loopback, or on a Unix socket, whose file says who may connect; the
pages of another port need `ui = true` or a token. Changes need the token or a Unix socket, because
on a port every program of the machine could make them. A page of somebody else's, which Origin
tells (RFC 6454 §7), gets neither.
"""

from __future__ import annotations

import hmac
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web

from proxy.config.syntax import is_loopback

Answer = Callable[[int, str], web.Response]

NO_UI = (
    "404 Not Found: this admin port shows no pages: it can be reached from elsewhere, so write a"
    " `token` in [admin], or `ui = true`\n"
)
_OFF = "404 Not Found: `ui = false` in [admin]\n"
_NO_TOKEN = (
    "403 Forbidden: changes need a token: write `token` in [admin], or listen on a Unix socket\n"
)
_UNKNOWN_ORIGIN = "403 Forbidden: this Origin is not the admin port's\n"
_UNAUTHORIZED = "401 Unauthorized: Authorization: Bearer and the `token` of [admin] are needed\n"


class Gate:
    """That of one admin port."""

    __slots__ = ("_answer", "_host", "_token", "_ui")

    def __init__(self, answer: Answer, listen_host: str) -> None:
        """`answer` makes a response of text with the port's header fields."""
        self._answer = answer
        self._host = listen_host
        self._token = b""
        self._ui: bool | None = None

    def configure(self, token: str, ui: bool | None) -> None:
        """Go by this `[admin]` from now on; "" = there is no token."""
        self._token = token.encode()
        self._ui = ui

    def closed(self) -> web.Response | None:
        """The answer where there are no pages; None = there are."""
        if self._ui is None and not (self._token or is_loopback(self._host)):
            return self._answer(404, NO_UI)
        return self._answer(404, _OFF) if self._ui is False else None

    def unseen(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to who may see nothing; None = go on. Its Host has been looked at."""
        if self._is_foreign(request):
            return self._answer(403, _UNKNOWN_ORIGIN)
        return None if not self._token or self._shows_token(request) else self._unauthorized()

    def unchanged(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to who may change nothing; None = go on. Its Host has been looked at."""
        if self._is_foreign(request):
            return self._answer(403, _UNKNOWN_ORIGIN)
        if not self._token:
            return None if _is_by_unix(request) else self._answer(403, _NO_TOKEN)
        return None if self._shows_token(request) else self._unauthorized()

    def _is_foreign(self, request: web.BaseRequest) -> bool:
        here = request.headers.get("Host", "").lower()
        origins = request.headers.getall("Origin", [])
        return any(urlsplit(origin).netloc.lower() != here for origin in origins)

    def _unauthorized(self) -> web.Response:
        response = self._answer(401, _UNAUTHORIZED)
        response.headers["WWW-Authenticate"] = 'Bearer realm="spangate"'
        return response

    def _shows_token(self, request: web.BaseRequest) -> bool:
        fields = request.headers.getall("Authorization", [])
        scheme, _, shown = fields[0].partition(" ") if len(fields) == 1 else ("", "", "")
        same = hmac.compare_digest(shown.strip().encode("utf-8", "replace"), self._token)
        return same and scheme.lower() == "bearer"


def _is_by_unix(request: web.BaseRequest) -> bool:
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    return sock is not None and sock.family == socket.AF_UNIX
