"""A cluster on paper, translated; and a source that watches a server of the tests."""

from __future__ import annotations

import json
from typing import Any

from proxy.config.load import loads
from proxy.config.source_model import KubernetesSource
from proxy.routing.table import Table
from proxy.sources.kubernetes import make
from proxy.sources.kubernetes.kinds import KINDS, key_of, read
from proxy.sources.kubernetes.outcome import Outcome
from proxy.sources.kubernetes.translate import translate
from proxy.sources.kubernetes.vault import Vault
from proxy.sources.kubernetes.world import Terms, World
from proxy.sources.source import About
from tests.peers.kubernetes_api import Server
from tests.peers.kubernetes_schema import judged
from tests.sources.kit import Watching
from tests.sources.kubernetes.objects import Object

FILE = '[source.kubernetes]\nserver = "http://127.0.0.1:1"\n'
NOW = 1_790_000_000.0
PORT = "kubernetes:80"


def world_of(*objects: Object, strict: bool = True, blocked: dict[str, str] | None = None) -> World:
    """Of objects as an API server would store them."""
    kept: dict[str, dict[Any, Any]] = {}
    for number, given in enumerate(objects):
        one = given
        if strict:
            one, wrong = judged(given["kind"], given)
            assert not wrong, wrong
        one["metadata"].setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        one["metadata"].setdefault("resourceVersion", str(number + 1))
        found = read(KINDS[one["kind"]], json.dumps(one).encode())
        if found is not None:
            kept.setdefault(one["kind"], {})[key_of(found)] = found
    return World(kept, blocked or {}, NOW)


def outcome_of(*objects: Object, terms: Terms | None = None, **more: Any) -> Outcome:
    return translate(world_of(*objects, **more), terms or Terms(), Vault(), "1")


class Routing:
    """What is given, as the gateway would route by it."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.config = loads(FILE, "t.toml", {}, given={"kubernetes": outcome.given}).config
        self._table = Table.compile(self.config.route)

    def asked(self, host: str, path: str, method: str = "GET", **more: Any) -> Any:
        """The route that takes such a request, None = 404. `headers`, `query`, `listener`."""
        query = more.get("query", "")
        head = _Head(more.get("headers", {}), more.get("listener", PORT))
        found = self._table.match(host, method, path, query, head)
        return None if found is None else self.config.route[found[0]]

    def goes(self, host: str, path: str, method: str = "GET", **more: Any) -> str:
        """The name of the service, the status of an answer, or "404"."""
        route = self.asked(host, path, method, **more)
        if route is None:
            return "404"
        if route.respond is not None:
            return str(route.respond.status)
        if route.redirect is not None:
            return str(route.redirect.to)
        return " ".join(name.split(".")[1] for name in route.to)


class _Head:
    def __init__(self, headers: dict[str, str], listener: str) -> None:
        self.scheme, self.listener = "http", listener
        self._fields = {name.encode(): value.encode() for name, value in headers.items()}

    def get(self, name: bytes) -> bytes | None:
        return self._fields.get(name)

    def each(self, name: bytes) -> list[bytes]:
        return [self._fields[name]] if name in self._fields else []


def routing(*objects: Object, **more: Any) -> Routing:
    return Routing(outcome_of(*objects, **more))


def told(outcome: Outcome, kind: str, name: str) -> dict[str, tuple[bool, str, str]]:
    """Conditions of a route's first parent of ours, by type."""
    namespace, short = name.split("/")
    _, conditions = outcome.routes[kind, (namespace, short)].parents[0]
    return {one.type: (one.holds, one.reason, one.message) for one in conditions}


def watching(server: Server, **more: Any) -> Watching:
    return Watching(make(KubernetesSource(server=server.url, **more), About("/")))
