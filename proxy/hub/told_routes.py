"""What is told of routes and of requests that somebody asks about, of the configuration in force.

The thousands of lines of a large file are read in a thread, once for each generation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from proxy.config.effective import effective
from proxy.config.loaded import Loaded
from proxy.config.messaging_names import written
from proxy.config.model import Retry, Route
from proxy.config.redact import shown_route
from proxy.config.written import blocks, veiled
from proxy.errors import BadRequest


class ToldRoutes:
    """Of one hub."""

    __slots__ = ("_generation", "_texts", "_turn")

    def __init__(self) -> None:
        self._generation = 0  # whose texts are known
        self._texts: list[str] = []
        self._turn = asyncio.Lock()

    async def view(self, generation: int, loaded: Loaded) -> Mapping[str, Any]:
        """For `/api/routes`, in the order of the file."""
        async with self._turn:
            if generation != self._generation:
                self._texts = await asyncio.to_thread(_texts, loaded)
                self._generation = generation
            texts = self._texts
        return {"routes": _routes(loaded, texts)}

    async def explain(
        self, loaded: Loaded, method: str, url: str, headers: Sequence[str]
    ) -> Mapping[str, Any]:
        """What `spangate explain` says; ValueError for what is no request."""
        async with self._turn:
            taken, lines = await asyncio.to_thread(_explained, loaded, method, url, headers)
        return {"taken": taken, "lines": lines}


def _texts(loaded: Loaded) -> list[str]:
    return blocks(veiled(loaded.text), "route") if loaded.text else []


def _routes(loaded: Loaded, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
    number = written(route.name for route in loaded.config.route)  # what the gateway adds is last
    own = sum(("route", i) not in loaded.places for i in range(number))  # sources' before that
    known = [*texts, *[""] * (number - own)] if len(texts) == own else [""] * number
    for index, text in enumerate(known):
        yield _route(loaded, index, text)


def _route(loaded: Loaded, index: int, text: str) -> dict[str, Any]:
    route, shown = loaded.config.route[index], shown_route(loaded, index)
    force = effective(loaded.config, route, next(iter(route.to), ""))
    return {
        "name": shown.name or shown.path,
        "host": list(shown.host),
        "path": shown.path,
        "action": action(route),
        "to": dict(shown.to) if route.publish is None else {},
        "publish": _publish(shown),
        "line": loaded.lines.exact(("route", index)),
        "text": text,
        "timeout_ms": round(force.timeout * 1000, 3) if route.to and force.timeout else None,
        "retry": _retry(force.retry) if route.to else None,
    }


def action(route: Route) -> str:
    """What it does with a request: proxy, publish, redirect or respond."""
    if route.publish is not None:
        return "publish"
    return "redirect" if route.redirect else "respond" if route.respond else "proxy"


def _publish(shown: Route) -> dict[str, str] | None:
    said = shown.publish
    return None if said is None else {"to": said.to, "topic": said.topic}


def _retry(retry: Retry | None) -> dict[str, Any] | None:
    if retry is None or not retry.times:
        return None
    return {"times": retry.times, "on": list(retry.on), "methods": list(retry.methods)}


def _explained(
    loaded: Loaded, method: str, url: str, headers: Sequence[str]
) -> tuple[bool, list[str]]:
    # Not before somebody asks: it is a second reader of requests, which a hub has no use for.
    from proxy.explain import explain, read_request, scheme_of

    try:
        return explain(loaded, read_request(method, url, headers), scheme_of(url))
    except BadRequest as error:
        return False, [f"answer     {error.status}: {error.detail}"]
