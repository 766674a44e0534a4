"""CORS for browsers that send OTLP: which pages may, and what they are told (Fetch §3.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiohttp import web


class Cors:
    """Allowed origins, in which `*` stands for labels or a port; none = no page may."""

    __slots__ = ("_headers", "_max_age", "_origins")

    def __init__(
        self, origins: Sequence[str] = (), headers: Sequence[str] = (), max_age: float = 0
    ) -> None:
        patterns = [_pattern(origin.lower()) for origin in origins]
        self._origins = re.compile("|".join(patterns)) if patterns else None
        self._headers = ", ".join(("content-type", "content-encoding", *headers))
        self._max_age = str(int(max_age))

    def mark(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """Let the page that asked read the answer, if it may."""
        if self._origins is None or (origin := request.headers.get("Origin")) is None:
            return
        response.headers["Vary"] = "Origin"
        if self._origins.fullmatch(origin.lower()):
            response.headers["Access-Control-Allow-Origin"] = origin

    def preflight(self, request: web.BaseRequest) -> web.Response:
        """The answer to OPTIONS; `mark` adds whether the page may."""
        wanted = request.headers.get("Access-Control-Request-Headers", "")
        allowed = wanted if "*" in self._headers else self._headers
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": "POST",
                "Access-Control-Allow-Headers": allowed,
                "Access-Control-Max-Age": self._max_age,
            },
        )


def _pattern(origin: str) -> str:
    return ".*" if origin == "*" else "[^/]*".join(map(re.escape, origin.split("*")))
