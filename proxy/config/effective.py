"""The values in force for one route and one of its upstreams, and who said so.

A value on the route wins over the upstream's, then `[defaults]`. Workers compute this once for
each route and upstream, so nothing but the model is imported here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from proxy.config.model import Config, Defaults, Limits, Retry, Route, Upstream
from proxy.config.observe import Propagate, Tracing

# A key path such as ("route", 3, "timeout") -> "routes.toml:12", or "" where the file says nothing.
Where = Callable[[tuple[str | int, ...]], str]

DURATIONS = (
    "timeout",
    "connect_timeout",
    "tls_timeout",
    "first_byte_timeout",
    "idle_timeout",
    "stream_timeout",
)


@dataclass(frozen=True, slots=True)
class Effective:
    """Seconds and bytes; 0 = no limit. `origin` tells for each field above it who said so."""

    timeout: float
    connect_timeout: float
    tls_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    stream_timeout: float
    retry: Retry | None
    body_limit: int
    propagate: Propagate  # with no None in it; `origin` has its keys
    origin: dict[str, str]


def effective(config: Config, route: Route, upstream: str, where: Where | None = None) -> Effective:
    """What holds for requests of `route` that go to `upstream` ("" or unknown = none).

    With `where` (`Loaded.where`), origins carry the file's lines, and a default that the file
    repeats is told from one that is built in.
    """
    origin: dict[str, str] = {}
    values: dict[str, Any] = {}
    # Only lines need the place in the file, and finding it costs a walk over all routes.
    index = next((i for i, r in enumerate(config.route) if r is route), 0) if where else 0
    layers = _layers(config, route, index, upstream)
    for key in (*DURATIONS, "retry"):
        values[key] = _first(layers, key)
        origin[key] = _origin(layers, key, where)
    limit = [layers[0], _Layer("[limits]", ("limits",), "body", config.limits, Limits())]
    origin["body_limit"] = _origin(limit, "body_limit", where)
    return Effective(
        **{key: float(values[key]) for key in DURATIONS},
        retry=values["retry"],
        body_limit=int(config.limits.body if route.body_limit is None else route.body_limit),
        propagate=_propagate(config, layers, where, origin),
        origin=origin,
    )


def _propagate(
    config: Config, layers: list[_Layer], where: Where | None, origin: dict[str, str]
) -> Propagate:
    """Each key of `propagate` on its own: the route's, the upstream's, then what is general."""
    said = [
        _Layer(layer.title, (*layer.path, "propagate"), "", layer.table.propagate)
        for layer in layers
        if isinstance(layer.table, Route | Upstream)
    ]
    general = _Layer("[tracing]", ("tracing",), "baggage", config.tracing, Tracing())
    values: dict[str, Any] = {"tracestate": True, "context": "pass"}
    for key, asked in (("baggage", [*said, general]), ("tracestate", said), ("context", said)):
        found = _first(asked, key)
        values[key] = values.get(key) if found is None else found
        origin[key] = _origin(asked, key, where)
    return Propagate(**values)


@dataclass(frozen=True, slots=True)
class _Layer:
    """One table that may say a value: its title, its place in the file, its content."""

    title: str
    path: tuple[str | int, ...]
    key: str  # "" = the key asked for
    table: Route | Upstream | Defaults | Limits | Propagate | Tracing
    builtin: Defaults | Limits | Tracing | None = None  # what holds where the table is silent


def _layers(config: Config, route: Route, index: int, upstream: str) -> list[_Layer]:
    layers = [_Layer(f"route '{route.name or route.path}'", ("route", index), "", route)]
    if (found := config.upstream.get(upstream)) is not None:
        layers.append(_Layer(f"upstream '{upstream}'", ("upstream", upstream), "", found))
    layers.append(_Layer("[defaults]", ("defaults",), "", config.defaults, Defaults()))
    return layers


def _first(layers: list[_Layer], key: str) -> object:
    found = (getattr(layer.table, layer.key or key) for layer in layers)
    return next((value for value in found if value is not None), None)


def _origin(layers: list[_Layer], key: str, where: Where | None) -> str:
    for layer in layers:
        name = layer.key or key
        value = getattr(layer.table, name)
        place = where((*layer.path, name)) if where else ""
        silent = layer.builtin is not None and value == getattr(layer.builtin, name)
        if value is None or (silent and not place):
            continue
        return f"{layer.title} ({place})" if place else layer.title
    return "built in"
