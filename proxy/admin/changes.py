"""What may be changed by the admin port, and by whom.

POST /upstreams/NAME/ENDPOINT/drain     no new requests; what runs is finished
POST /upstreams/NAME/ENDPOINT/undrain   as before
POST /reload                            read the file again; answers when that is done: 200, 422 if
                                        the file must be mended, 409 if it could not be done now

ENDPOINT is the server's URL, percent-encoded, or its `host:port`. Who may is said in gate.py.
"""

from __future__ import annotations

import json
from urllib.parse import unquote

from aiohttp import web

from proxy.admin.gate import Answer, Gate
from proxy.admin.view import Hand

RELOAD = "/reload"


class Changes:
    """What is asked for below /upstreams/ and at /reload, of one admin port."""

    __slots__ = ("_answer", "_gate", "_hand")

    def __init__(self, hand: Hand | None, answer: Answer, gate: Gate) -> None:
        """`answer` makes a response of text with the port's header fields."""
        self._hand = hand
        self._answer = answer
        self._gate = gate

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
        if unchanged := self._gate.unchanged(request):
            return unchanged
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
