"""Where a connection or a request goes that a sidecar passes on: endpoints by destination.

An upstream has its servers by configuration; what an application calls is known when it calls. So
the upstreams of a sidecar have a chooser that makes an endpoint for each destination, keeps some
of them, with their warm connections, and refuses what would come back here.
"""

from __future__ import annotations

from typing import Any

from proxy.config.mesh_names import APP, AWAY, BYTES, BYTES_SNI, H2, PEERS, SNI
from proxy.errors import BadRequest, LoopDetected, NoEndpoint
from proxy.http.head import Pair
from proxy.server.mesh_places import Place
from proxy.upstream.endpoint import Endpoint

MOST = 1024  # destinations with an endpoint, for each kind; then the one used longest ago goes
_SCHEMES = {BYTES: "tcp", H2: "http", "": "http"}


class Endpoints:
    """Endpoints by place, for one upstream of the sidecar's."""

    __slots__ = ("_house", "_known", "_last", "_last_place", "_last_source", "_scheme", "_upstream")

    def __init__(self, house: Any, upstream: str, scheme: str) -> None:
        self._house = house
        self._upstream = upstream
        self._scheme = scheme
        self._known: dict[tuple[Place, str], Endpoint] = {}
        self._last: Endpoint | None = None  # the one that was asked for last, and for what
        self._last_place: Place | None = None
        self._last_source = ""

    def at(self, place: Place, source: str = "") -> Endpoint:
        """The endpoint there, called from `source`; "" = from wherever. Raises ValueError for what
        is no place."""
        if self._last is not None and place == self._last_place and source == self._last_source:
            return self._last
        key = (place, source)
        endpoint = self._known.pop(key, None)
        if endpoint is None:
            endpoint = self._made(place, source)
        self._known[key] = endpoint
        self._last, self._last_place, self._last_source = endpoint, place, source
        return endpoint

    def _made(self, place: Place, source: str) -> Endpoint:
        """A new one, in the place of the one that was asked for longest ago."""
        host, port = place
        name = f"[{host}]" if ":" in host else host
        endpoint = Endpoint(f"{self._scheme}://{name}:{port}", 1, self._upstream)
        if source:
            endpoint.source = source
            endpoint.key += f" from {source}"
        if len(self._known) >= MOST:
            oldest = next(iter(self._known))
            self._house.forget(self._known.pop(oldest))
        return endpoint

    def __len__(self) -> int:
        return len(self._known)


class Chooser:
    """What the state of an upstream asks; see `choosing.py`. One for each kind: `kind` is BYTES or
    "", which is for requests and becomes H2 by the version that the client speaks."""

    __slots__ = ("_app", "_bytes", "_h1", "_h2", "_peers", "_sidecar")

    def __init__(self, sidecar: Any, name: str, kind: str) -> None:
        house = sidecar.house
        self._sidecar = sidecar
        self._app = name == APP
        self._bytes = Endpoints(house, name + BYTES, _SCHEMES[BYTES]) if kind else None
        self._h1 = Endpoints(house, name, _SCHEMES[""])
        self._h2 = Endpoints(house, name + H2, _SCHEMES[H2])
        self._peers = Endpoints(house, PEERS + kind, "https")

    def choose(self, story: Any, now: int, failed: Endpoint | None) -> Endpoint | None:
        """The endpoint of a try at monotonic `now` (ns)."""
        endpoints = self._bytes
        if endpoints is None:
            endpoints = self._h2 if self._wants_h2(story) else self._h1
        peer, source = story.client.peer, ""
        if self._app:
            place = self._sidecar.inward(peer, now)
            if place is None:
                raise NoEndpoint("this address is none of the application's")
            source = self._sidecar.source(peer, place)
        else:
            place = self._away(story, peer, now)
            if self._is_peer(place, story.head.authority):
                return self._peers.at(place)
        try:
            return endpoints.at(place, source)
        except ValueError:
            raise BadRequest("the request names no place that it could be sent to") from None

    def at(self, place: Place, source: str) -> Endpoint:
        """The endpoint for bytes there that have said no name. Raises ValueError for what is no
        place."""
        assert self._bytes is not None
        if not self._app and self._sidecar.is_peer(place, ""):
            return self._peers.at(place)
        return self._bytes.at(place, source)

    def _is_peer(self, place: Place, name: str) -> bool:
        """Whether a sidecar is there that is to be asked; `name`: the host of a request, or what a
        ClientHello among the bytes asks for."""
        if self._bytes is not None and is_ours(name):
            return False  # somebody is on the way to that sidecar already
        return bool(self._sidecar.is_peer(place, name))

    def _wants_h2(self, story: Any) -> bool:
        """Whether HTTP/2 is spoken there: as the client does, but what comes from another sidecar
        tells of that one; then calls of gRPC alone, which has nothing else."""
        if story.head.version != "2":
            return False
        return not self._app or story.client.scheme == "http" or story.x.call is not None

    def _away(self, story: Any, peer: Any, now: int) -> Place:
        place: Place | None = peer.local
        if place is None:
            host, port = story.snapshot.host(story.head.authority)
            if not host:
                raise BadRequest("the request does not say where it goes")
            place = (host, port or 80)
        if self._sidecar.is_own(place, now):
            raise LoopDetected("that is this sidecar itself: a loop")
        return place

    def mark(self, story: Any, lines: list[Pair]) -> None:
        """Nobody gets a cookie."""


def is_ours(name: str) -> bool:
    """Whether it is what sidecars ask each other for."""
    return name.startswith((SNI, BYTES_SNI))


def choosers(sidecar: Any) -> dict[str, Chooser]:
    """By upstream."""
    return {
        name + kind: Chooser(sidecar, name, kind) for name in (APP, AWAY) for kind in ("", BYTES)
    }
