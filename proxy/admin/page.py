"""A page that is sent while it is made, by aiohttp."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aiohttp import web

from proxy.admin.pieces import Turns, accepted


class Pages:
    """Who sends pages of one port."""

    __slots__ = ("_turns",)

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    async def send(
        self, request: web.BaseRequest, headers: Mapping[str, str], pieces: Iterator[str]
    ) -> web.StreamResponse:
        """Answer 200 with all pieces, compressed if the client takes that."""
        response = web.StreamResponse(headers=headers)
        coding = accepted(request.headers.getall("Accept-Encoding", []))
        if coding:
            response.headers["Content-Encoding"] = coding
        await response.prepare(request)
        if request.method != "HEAD":
            async for data in self._turns.slices(pieces, coding):
                await response.write(data)
        await response.write_eof()
        return response
