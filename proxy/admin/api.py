"""`/api/` as far as the hub itself knows the answer: rates, routes, upstreams, pipelines, settings.

JSON for the pages and for terminals. Times that end in `_unix_ms` are Unix milliseconds.

/api/rates      requests of each route and upstream now; ?points=N of each route's history
/api/routes     each route: what the file says, and where
/api/explain    ?method=GET&url=…&header=name: value: what `spangate explain` says
/api/upstreams  as /upstreams
/api/pipelines  as /pipelines, and what was lost, by reason
/api/config     what is in force, the last reloads with what they changed, all settings,
                which may be much; ?settings=false
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from proxy.admin.view import View

POINTS = 120  # of a history, at most
LONGEST = 8192  # characters of a URL or header that somebody asks about
MOST_HEADERS = 100


class Query(Protocol):
    """What aiohttp makes of a query string."""

    def get(self, key: str, default: str, /) -> str: ...
    def getall(self, key: str, default: list[str]) -> list[str]: ...


async def answer(view: View, path: str, query: Query) -> tuple[int, Mapping[str, Any]] | None:
    """(status, JSON); None = this path is somebody else's.

    The JSON is for `page.json_pieces`: some members are iterators or compute their values late.
    """
    ask = _ANSWERS.get(path)
    if ask is None:
        return None
    try:
        return 200, await ask(view, query)
    except ValueError as error:
        return 400, {"error": str(error)}
    except LookupError as error:
        return 404, {"error": str(error.args[0] if error.args else error)}


async def _rates(view: View, query: Query) -> Mapping[str, Any]:
    said = query.get("points", str(POINTS))
    if not (said.isascii() and said.isdigit() and len(said) <= 3 and int(said) <= POINTS):
        raise ValueError(f"points: a number from 0 to {POINTS} is needed, not {said[:20]!r}")
    return await view.rates(int(said))


async def _routes(view: View, query: Query) -> Mapping[str, Any]:
    return await view.routes()


async def _explain(view: View, query: Query) -> Mapping[str, Any]:
    method, url, headers = (
        query.get("method", "") or "GET",
        query.get("url", ""),
        query.getall("header", []),
    )
    if not url:
        raise ValueError("url: the URL or path of a request is needed")
    if len(headers) > MOST_HEADERS:
        raise ValueError(f"header: more than {MOST_HEADERS} are too many")
    for name, text in (("method", method), ("url", url), *(("header", h) for h in headers)):
        if len(text) > LONGEST:
            raise ValueError(f"{name}: more than {LONGEST} characters are too long")
    return await view.explain(method, url, headers)


async def _upstreams(view: View, query: Query) -> Mapping[str, Any]:
    await view.refresh()
    return view.upstreams()


async def _pipelines(view: View, query: Query) -> Mapping[str, Any]:
    await view.refresh()
    return {**view.pipelines(), "losses": view.losses()}


async def _config(view: View, query: Query) -> Mapping[str, Any]:
    told, said = view.configuration(), query.get("settings", "true")
    if said not in ("true", "false"):
        raise ValueError(f"settings: true or false is needed, not {said[:20]!r}")
    return told if said == "true" else {k: v for k, v in told.items() if k != "settings"}


_ANSWERS: dict[str, Callable[[View, Query], Awaitable[Mapping[str, Any]]]] = {
    "/api/rates": _rates,
    "/api/routes": _routes,
    "/api/explain": _explain,
    "/api/upstreams": _upstreams,
    "/api/pipelines": _pipelines,
    "/api/config": _config,
}
