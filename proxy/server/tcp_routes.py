"""Where a listener that passes bytes sends its connections: part of a Snapshot.

A `tcp` listener has one route, a `tls` listener one for each server name, found by the same rules
as the host of a request; what no route takes goes where the listener's own `to` says, if it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec.structs import replace

from proxy.config.mesh_names import APP, AWAY, BYTES, INBOUND, OUTBOUND
from proxy.config.model import Config, Listener, Route, When
from proxy.routing.table import TableBuilder
from proxy.server.snapshot import RouteEntry


class _Nothing:
    """The fields of a connection, which has none."""

    listener = scheme = ""

    def get(self, name: bytes) -> None:
        return None

    def each(self, name: bytes) -> list[bytes]:
        return []


_NOTHING = _Nothing()


class StreamRoutes:
    """The routes of one listener."""

    __slots__ = ("_entries", "_hosts", "name", "protocol")

    def __init__(
        self, listener: Listener, routes: Sequence[Route], entries: Sequence[RouteEntry]
    ) -> None:
        """`entries` stand as `routes` do."""
        self.protocol = listener.protocol
        self.name = listener.name or listener.address
        builder = TableBuilder([replace(route, when=When()) for route in routes])
        for _ in builder.steps():
            pass
        self._hosts = builder.table().hosts
        self._entries = list(entries)

    def leads_to(self, upstream: str) -> bool:
        """Whether one of them goes there."""
        return any(upstream in entry.route.to for entry in self._entries)

    def find(self, server_name: str) -> RouteEntry | None:
        """The route for this name, "" = none was said; None: there is none."""
        leaf = self._hosts.find(server_name, "", "/", "", _NOTHING)
        return None if leaf is None else self._entries[leaf.index]


def compile_streams(
    config: Config, entry: Callable[[Route], RouteEntry]
) -> Iterator[tuple[str, StreamRoutes]]:
    """By address, for each listener that does not speak HTTP; `entry` makes a route ready."""
    if config.mesh is not None:
        yield from _of_sidecar(config, entry)
    for listener in config.listen:
        if listener.protocol == "http":
            continue
        named = [r for r in config.route if listener.name and r.when.listener == listener.name]
        if listener.to:
            named.append(Route(name=listener.name or listener.address, to={listener.to: 1}))
        yield listener.address, StreamRoutes(listener, named, [entry(route) for route in named])


def _of_sidecar(
    config: Config, entry: Callable[[Route], RouteEntry]
) -> Iterator[tuple[str, StreamRoutes]]:
    """By side: where its bytes go that are no requests."""
    for listener in config.listen:
        if listener.name in (INBOUND, OUTBOUND):
            to = (APP if listener.name == INBOUND else AWAY) + BYTES
            route = Route(name=listener.name, to={to: 1})
            plain = replace(listener, protocol="tcp", tls=None)
            yield listener.name, StreamRoutes(plain, [route], [entry(route)])
