"""What may be changed by the admin port, and by whom.

POST /upstreams/NAME/ENDPOINT/drain     no new requests; what runs is finished
POST /upstreams/NAME/ENDPOINT/undrain   as before
POST /reload                            read the file again; answers when that is done: 200, 422 if
                                        the file must be mended, 409 if it could not be done now

ENDPOINT is the server's URL, percent-encoded, or its `host:port`. Where `[admin] token` is set,
it must be shown (RFC 6750 §2.1), else 401. Without one only a Unix socket, whose file says who may
connect, takes changes: on a port every program of the machine could make them. A web page of
somebody else's, which the Origin field tells (RFC 6454 §7), may change nothing.
"""

from __future__ import annotations

import hmac
import json
import socket
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from aiohttp import web

from proxy.admin.view import Hand

RELOAD = "/reload"

Answer = Callable[[int, str], web.Response]

_NO_TOKEN = (
    "403 Forbidden: changes need a token: write `token` in [admin], or listen on a Unix socket\n"
)
_UNKNOWN_ORIGIN = "403 Forbidden: this Origin is not the admin port's\n"
_UNAUTHORIZED = "401 Unauthorized: Authorization: Bearer and the `token` of [admin] are needed\n"


class Changes:
    """What is asked for below /upstreams/ and at /reload, of one admin port."""

    __slots__ = ("_answer", "_hand", "_token")

    def __init__(self, hand: Hand | None, answer: Answer) -> None:
        """`answer` makes a response of text with the port's header fields."""
        self._hand = hand
        self._answer = answer
        self._token = b""

    def configure(self, token: str) -> None:
        """Go by this `[admin] token` from now on; "" = there is none."""
        self._token = token.encode()

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """Do what the request asks for, if it may."""
        steps = request.raw_path.partition("?")[0].split("/")
        drains = len(steps) == 5 and steps[4] in ("drain", "undrain")
        if self._hand is None or not (drains or request.path == RELOAD):
            return self._answer(404, "404 Not Found\n")
        if request.method != "POST":
            response = self._answer(405, "405 Method Not Allowed\n")
            response.headers["Allow"] = "POST"
            return response
        refusal = self.refusal(request)
        if refusal is not None:
            return refusal
        return self._drain(steps, self._hand) if drains else await self._reload(self._hand)

    async def _reload(self, hand: Hand) -> web.Response:
        status, came = await hand.reload()
        response = self._answer(status, json.dumps(came, indent=2) + "\n")
        response.content_type = "application/json"
        return response

    def _drain(self, steps: list[str], hand: Hand) -> web.Response:
        upstream, endpoint = unquote(steps[2]), unquote(steps[3])
        try:
            done = hand.drain(upstream, endpoint, steps[4] == "drain")
        except LookupError as error:
            return self._answer(404, f"404 Not Found: {error.args[0]}\n")
        return self._answer(200, f"{done}\n")

    def refusal(self, request: web.BaseRequest) -> web.Response | None:
        """The answer to who may change nothing; None = go on. Its Host has been looked at."""
        for origin in request.headers.getall("Origin", []):
            if urlsplit(origin).netloc.lower() != request.headers.get("Host", "").lower():
                return self._answer(403, _UNKNOWN_ORIGIN)
        if not self._token:
            return None if _is_by_unix(request) else self._answer(403, _NO_TOKEN)
        if self._shows_token(request.headers.getall("Authorization", [])):
            return None
        response = self._answer(401, _UNAUTHORIZED)
        response.headers["WWW-Authenticate"] = 'Bearer realm="spangate"'
        return response

    def _shows_token(self, fields: list[str]) -> bool:
        scheme, _, shown = fields[0].partition(" ") if len(fields) == 1 else ("", "", "")
        same = hmac.compare_digest(shown.strip().encode("utf-8", "replace"), self._token)
        return same and scheme.lower() == "bearer"


def _is_by_unix(request: web.BaseRequest) -> bool:
    sock = request.transport.get_extra_info("socket") if request.transport is not None else None
    return sock is not None and sock.family == socket.AF_UNIX
