"""aiohttp's part of a guarded server, loaded when it is first needed.

It is 12 MB and a quarter of a second, which a process without such visitors does not spend.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from proxy.web.requests import expectation

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _OurFault(logging.Filter):
    """Lets aiohttp complain of what we did wrong; what strangers do, they are told with a 4xx."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError | ConnectionError)


log = logging.getLogger("spangate.web")
log.addFilter(_OurFault())


def make(serve: Handler, idle: float, **options: Any) -> web.Server:
    """aiohttp's server, which listens nowhere; `idle` in seconds."""
    return web.Server(serve, access_log=None, logger=log, keepalive_timeout=idle, **options)


def away() -> web.Response:
    """For a connection that is closed already."""
    return web.Response(status=503)


async def answer(request: web.BaseRequest, handle: Handler) -> web.StreamResponse:
    """What `handle` says, if the request asks for nothing that nobody can do."""
    if expectation(request) not in ("", "100-continue"):
        response: web.StreamResponse = web.Response(status=417, text="417 Expectation Failed\n")
    else:
        response = await handle(request)
    if not request.content.is_eof() and not response.prepared:
        response.force_close()  # the rest of the body is not worth reading, or never comes
    return response
