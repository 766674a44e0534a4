"""What the admin port needs to know, and nothing about who knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from proxy.telemetry.metrics import Series


class View(Protocol):
    """The running gateway, read only."""

    def unready(self) -> str:
        """Why no traffic should be sent here now; "" = it should."""

    async def refresh(self) -> None:
        """Bring in what workers have counted until now; returns soon, with or without it."""

    def series(self) -> Iterable[Series]:
        """Every metric, those of one instrument together.

        It is read over many turns of the loop: what must be of one instant is read at once.
        """

    # What follows is read over many turns too. Where there may be thousands of something, it is
    # an iterator or a `Mapping` that computes its values when they are asked for.

    def config(self) -> Mapping[str, Any]:
        """The configuration in force, secrets redacted."""

    def stats(self) -> Mapping[str, Any]:
        """Workers, routes, upstreams, books: what `/stats` shows."""

    def pipelines(self) -> Mapping[str, Any]:
        """The collector's pipelines, each stage with its state: what `/pipelines` shows."""

    def upstreams(self) -> Mapping[str, Any]:
        """Each endpoint with its state and why: what `/upstreams` shows."""

    def redirected(self) -> Mapping[str, Any]:
        """How traffic gets to a sidecar: what `/mesh/redirect` shows, which is little."""

    def mesh(self) -> Mapping[str, Any]:
        """Its own identity, whom it trusts, and its peers: what `/mesh` shows."""

    # What the pages below /ui/ show.

    def info(self) -> Mapping[str, Any]:
        """What they need to know at their start: /api/info."""

    async def ask(self, target: str, accept: str) -> tuple[int, str, bytes]:
        """Status, content type and body of what is asked of recent telemetry."""

    async def tap(
        self, query: str, tell: Callable[[Sequence[str], int], None]
    ) -> Callable[[], None]:
        """Have requests told as they end, in lines of JSON, and how many were left out.

        What is returned ends it. When it returns, every worker knows that somebody watches.
        Raises ValueError, in words, for a filter that cannot be understood.
        """

    def losses(self) -> Sequence[Mapping[str, Any]]:
        """Telemetry that was lost: exporter, signal, reason, items; "" = nobody's exporter."""

    def configuration(self) -> Mapping[str, Any]:
        """What is in force, the last reloads, all settings: what `/api/config` shows."""

    async def rates(self, points: int) -> Mapping[str, Any]:
        """Requests of each route and upstream now, and so many points of each route's history."""

    async def routes(self) -> Mapping[str, Any]:
        """Each route with what the file says."""

    async def explain(self, method: str, url: str, headers: Sequence[str]) -> Mapping[str, Any]:
        """What would become of a request, in lines; headers are like `name: value`.

        ValueError for what is no request, LookupError where there are no routes.
        """


class Hand(Protocol):
    """What may be changed of the running gateway by the admin port."""

    def drain(self, upstream: str, endpoint: str, drained: bool) -> str:
        """Give an endpoint no new requests, or some again; what was done, in a sentence.

        `endpoint` is a URL or `host:port`. LookupError, in words, if it is unknown.
        """

    async def reload(self) -> tuple[int, Mapping[str, Any]]:
        """Read the file again: HTTP status and what came of it, when that is known."""
