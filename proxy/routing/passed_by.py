"""What `spangate check` says of routes that other names of a path lead past (`bypass.py`)."""

from __future__ import annotations

from proxy.config.loaded import Loaded
from proxy.config.locate import dotted
from proxy.errors import Problem
from proxy.routing import bypass
from proxy.routing.bypass import KEYS, SLASH, Bypass
from proxy.routing.table import Table


def passed_by(loaded: Loaded) -> list[Problem]:
    """A warning for each pair of such a route and one that forwards."""
    config, lines = loaded.config, loaded.lines

    def said(index: int, key: str) -> bool:
        return key != SLASH and lines.exact(("route", index, key)) > 0

    table = Table.compile(config.route)
    found = bypass.find(table, config.route, config.defaults, said)
    return [
        Problem(
            dotted(("route", one.keeper)),
            *_words(loaded, one),
            lines.near(("route", one.keeper)),
            loaded.file,
            warning=True,
        )
        for one in found
    ]


def _words(loaded: Loaded, one: Bypass) -> tuple[str, str]:
    """What goes past it, and what to write."""
    routes = loaded.config.route
    taker, path = routes[one.taker].name, routes[one.keeper].path
    shown = " and ".join(one.paths[key] for key in (*KEYS, SLASH) if key in one.paths)
    several = "go" if len(one.paths) > 1 else "goes"
    message = f"{shown} {several} past it to {taker!r}: to some servers that is the same path"
    keys = [f'{key} = "reject"' for key in KEYS if key in one.paths]
    remedies = []
    if keys:
        remedies.append(f'say {", ".join(keys)} (or "keep") on route {taker!r}')
    if SLASH in one.paths:
        wide = path.rstrip("/") + "/*"
        remedies.append(f'write path = "{wide}" here, or a route for {one.paths[SLASH]} too')
    return message, "; ".join(remedies)
