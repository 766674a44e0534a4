"""A strict ADS server on the published protos, which shares no code with the client under test.

It serves both variants, and writes down whatever a client does that the protocol does not allow:
`violations` is empty after a good conversation. What clients answer is in `answers`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import grpc

from tests.peers import xds_protos

xds_protos.use()

from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2  # noqa: E402
from google.protobuf.any_pb2 import Any as Packed  # noqa: E402

TYPES = "type.googleapis.com/"
NAMES = {
    "Listener": "name",
    "RouteConfiguration": "name",
    "Cluster": "name",
    "ClusterLoadAssignment": "cluster_name",
    "Secret": "name",
}
WILD = frozenset(("Listener", "Cluster"))
DEADLINE = 60.0


@dataclass(frozen=True)
class Answer:
    """To one response."""

    kind: str  # "Cluster"
    version: str  # of the response
    reason: str  # "" = it was accepted
    node: str


@dataclass
class Subscription:
    """What one stream wants of one kind."""

    names: set[str] = field(default_factory=set)
    wild: bool = False
    nonce: str = ""
    sent: dict[str, str] = field(default_factory=dict)  # versions by name
    version: str = ""  # of the newest response
    accepted: str = ""
    before: set[str] = field(default_factory=set)  # accepted before that one
    answered: bool = True
    open: dict[str, str] = field(default_factory=dict)  # nonce -> version, incremental variant


class Server(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    """Resources by kind and name, and the conversations about them."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, tuple[str, Any]]] = {kind: {} for kind in NAMES}
        self.own: dict[str, dict[str, dict[str, tuple[str, Any]]]] = {}  # by node, before the rest
        self.answers: list[Answer] = []
        self.violations: list[str] = []
        self.requests: list[Any] = []
        self.nodes: list[Any] = []
        self.port = 0
        self.tells_absent = True  # says of names that there is no such resource
        self._versions = itertools.count(1)
        self._nonces = itertools.count(1)
        self._streams: set[asyncio.Queue[Any]] = set()
        self._changed = asyncio.Event()
        self._server: Any = None

    async def start(self, port: int = 0) -> int:
        self._server = grpc.aio.server()
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        await self._server.start()
        return self.port

    async def stop(self) -> None:
        for queue in list(self._streams):
            queue.put_nowait(None)
        await self._server.stop(0.2)

    def put(self, *resources: Any, node: str = "") -> str:
        """Serve these from now on, with one new version; for this node alone if one is named."""
        version = str(next(self._versions))
        for one in resources:
            kind = one.DESCRIPTOR.name
            into = self.own.setdefault(node, {}).setdefault(kind, {}) if node else None
            (self.resources[kind] if into is None else into)[getattr(one, NAMES[kind])] = (
                version,
                one,
            )
        for kind in {one.DESCRIPTOR.name for one in resources}:
            names = [getattr(r, NAMES[kind]) for r in resources if r.DESCRIPTOR.name == kind]
            self._wake(kind, names)
        return version

    def remove(self, kind: str, *names: str) -> None:
        next(self._versions)
        for name in names:
            del self.resources[kind][name]
        self._wake(kind, names)

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait for what clients answer."""
        async with asyncio.timeout(DEADLINE):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    async def answered(self, kind: str, version: str, node: str = "") -> Answer:
        """The answer to the response of that version."""

        def found() -> list[Answer]:
            return [
                one
                for one in self.answers
                if (one.kind, one.version) == (kind, version) and (not node or one.node == node)
            ]

        await self.until(found)
        return found()[-1]

    # the two variants

    async def StreamAggregatedResources(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        stream = SotwStream(self)
        async for response in self._converse(requests, stream.take, stream.changed):
            yield response

    async def DeltaAggregatedResources(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        stream = DeltaStream(self)
        async for response in self._converse(requests, stream.take, stream.changed):
            yield response

    async def _converse(
        self,
        requests: Any,
        take: Callable[[Any], Iterable[Any]],
        changed: Callable[[str, Iterable[str]], Iterable[Any]],
    ) -> AsyncIterator[Any]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        self._streams.add(queue)

        async def read() -> None:
            async for request in requests:
                queue.put_nowait(request)
            queue.put_nowait(None)

        reading = asyncio.get_running_loop().create_task(read())
        try:
            while (item := await queue.get()) is not None:
                found = changed(*item) if isinstance(item, tuple) else take(item)
                for response in found:
                    yield response
                self._changed.set()
        finally:
            self._streams.discard(queue)
            reading.cancel()

    # what streams need

    def held(self, kind: str, node: str) -> dict[str, tuple[str, Any]]:
        own = self.own.get(node, {}).get(kind, {})
        return {**self.resources[kind], **own}

    def nonce(self) -> str:
        return f"n{next(self._nonces)}"

    def answer(self, kind: str, version: str, reason: str, node: str) -> None:
        self.answers.append(Answer(kind, version, reason, node))
        self._changed.set()

    def find(self, kind: str, name: str, node: str) -> tuple[str, Any] | None:
        return self.own.get(node, {}).get(kind, {}).get(name) or self.resources[kind].get(name)

    def _wake(self, kind: str, names: Iterable[str]) -> None:
        for queue in self._streams:
            queue.put_nowait((kind, names))


class Conversation:
    """What both variants have."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.node = ""
        self.subscriptions: dict[str, Subscription] = {}

    def kind_of(self, request: Any) -> str:
        self.server.requests.append(request)
        kind = request.type_url.rpartition(".")[2]
        if not self.node:
            self.node = request.node.id
            self.server.nodes.append(request.node)
            if not self.node:
                self.wrong("the first request of a stream has no node")
        if kind not in NAMES:
            self.wrong(f"nobody serves {request.type_url}")
        return kind

    def wrong(self, what: str) -> None:
        self.server.violations.append(f"{self.node}: {what}")


class SotwStream(Conversation):
    def take(self, request: Any) -> Iterable[Any]:
        kind, names = self.kind_of(request), set(request.resource_names)
        if len(names) < len(request.resource_names):
            self.wrong(f"{kind}: a name twice")
        sub = self.subscriptions.get(kind)
        if sub is None:
            if request.response_nonce:
                self.wrong(f"{kind}: a nonce before any response of this stream")
            if not names and kind not in WILD:
                self.wrong(f"{kind}: a first request without names")
            sub = self.subscriptions[kind] = Subscription(names, kind in WILD and not names)
            sub.accepted = request.version_info
            return self._all(kind, sub)
        if request.response_nonce != sub.nonce:
            if not request.response_nonce.startswith("n"):
                self.wrong(f"{kind}: a nonce that nobody sent: {request.response_nonce!r}")
            return ()
        self._answer(kind, sub, request)
        if names == sub.names:
            return ()
        if sub.wild and names:
            sub.wild = False
        more = names - sub.names
        sub.names = names
        return self._all(kind, sub) if more or kind in WILD else ()

    def _answer(self, kind: str, sub: Subscription, request: Any) -> None:
        if request.HasField("error_detail"):
            if request.version_info == sub.version:
                self.wrong(f"{kind}: refused with the version that is refused")
            if sub.answered and sub.accepted == sub.version:  # accepted before, and refused now
                if request.version_info not in sub.before:
                    self.wrong(f"{kind}: back at {request.version_info}, never accepted")
                sub.accepted = request.version_info
            sub.answered = True
            self.server.answer(kind, sub.version, request.error_detail.message, self.node)
        elif not sub.answered:
            if request.version_info != sub.version:
                self.wrong(f"{kind}: accepted {request.version_info}, sent was {sub.version}")
            sub.before.add(sub.accepted)
            sub.accepted, sub.answered = sub.version, True
            self.server.answer(kind, sub.version, "", self.node)
        elif request.version_info != sub.accepted:
            self.wrong(f"{kind}: {request.version_info} was never accepted")

    def changed(self, kind: str, names: Iterable[str]) -> Iterable[Any]:
        sub = self.subscriptions.get(kind)
        if sub is None:
            return ()
        if kind not in WILD:  # changes alone, and so nothing of what was removed
            wanted = [name for name in names if name in sub.names]
            found = [(name, self.server.find(kind, name, self.node)) for name in wanted]
            news = {n: one for n, one in found if one is not None and sub.sent.get(n) != one[0]}
            return self._send(kind, sub, news) if news else ()
        held = self._wanted(kind, sub)
        if {name: version for name, (version, _) in held.items()} == sub.sent:
            return ()
        return self._send(kind, sub, held)

    def _wanted(self, kind: str, sub: Subscription) -> dict[str, tuple[str, Any]]:
        held = self.server.held(kind, self.node)
        return {name: one for name, one in held.items() if sub.wild or name in sub.names}

    def _all(self, kind: str, sub: Subscription) -> Iterable[Any]:
        held = self._wanted(kind, sub)
        return self._send(kind, sub, held) if held or kind in WILD else ()

    def _send(self, kind: str, sub: Subscription, held: dict[str, tuple[str, Any]]) -> list[Any]:
        for name, (version, _) in held.items():
            sub.sent[name] = version
        if kind in WILD:
            sub.sent = {name: version for name, (version, _) in held.items()}
        sub.version = max((v for v, _ in held.values()), key=int, default=f"{sub.version}-")
        sub.nonce, sub.answered = self.server.nonce(), False
        response = discovery_pb2.DiscoveryResponse(
            version_info=sub.version, nonce=sub.nonce, type_url=url_of(kind)
        )
        for _, resource in held.values():
            response.resources.append(packed(resource))
        return [response]


class DeltaStream(Conversation):
    def take(self, request: Any) -> Iterable[Any]:
        kind = self.kind_of(request)
        sub = self.subscriptions.get(kind)
        more = set(request.resource_names_subscribe)
        if sub is None:
            if request.response_nonce:
                self.wrong(f"{kind}: a nonce before any response of this stream")
            wild = kind in WILD and (not more or "*" in more)
            sub = self.subscriptions[kind] = Subscription(more - {"*"}, wild)
            sub.sent = dict(request.initial_resource_versions)
            return self._news(kind, sub, more)
        if request.initial_resource_versions:
            self.wrong(f"{kind}: versions after the first request")
        self._answer(kind, sub, request)
        if not sub.names.issuperset(request.resource_names_unsubscribe):
            self.wrong(f"{kind}: unsubscribes what it had not subscribed to")
        for name in request.resource_names_unsubscribe:
            sub.names.discard(name)
            sub.sent.pop(name, None)
        sub.names |= more
        for name in more:
            sub.sent.pop(name, None)  # asked again, sent again
        return self._news(kind, sub, more) if more else ()

    def _answer(self, kind: str, sub: Subscription, request: Any) -> None:
        if not request.response_nonce:
            return
        version = sub.open.pop(request.response_nonce, None)
        late = request.HasField("error_detail") and request.response_nonce == sub.nonce
        if version is None and not late:
            self.wrong(
                f"{kind}: nonce {request.response_nonce!r} has been answered or was not sent"
            )
        reason = request.error_detail.message if request.HasField("error_detail") else ""
        if request.HasField("error_detail") and not reason:
            self.wrong(f"{kind}: refused without a reason")
        self.server.answer(kind, version or sub.version, reason, self.node)

    def changed(self, kind: str, names: Iterable[str]) -> Iterable[Any]:
        sub = self.subscriptions.get(kind)
        if sub is None:
            return ()
        wanted = [name for name in names if sub.wild or name in sub.names]
        found = {name: self.server.find(kind, name, self.node) for name in wanted}
        held = {name: one for name, one in found.items() if one is not None}
        return self._say(kind, sub, held, [n for n in wanted if n not in held and n in sub.sent])

    def _news(self, kind: str, sub: Subscription, asked: set[str]) -> list[Any]:
        held = self.server.held(kind, self.node)
        wanted = {name: one for name, one in held.items() if sub.wild or name in sub.names}
        gone = [name for name in sub.sent if name not in wanted]
        if self.server.tells_absent:
            gone += [name for name in asked - {"*"} if name not in held and name not in gone]
        return self._say(kind, sub, wanted, gone)

    def _say(
        self, kind: str, sub: Subscription, held: dict[str, tuple[str, Any]], gone: list[str]
    ) -> list[Any]:
        news = {name: one for name, one in held.items() if sub.sent.get(name) != one[0]}
        if not news and not gone:
            return []
        for name, (version, _) in news.items():
            sub.sent[name] = version
        for name in gone:
            sub.sent.pop(name, None)
        sub.version = max((v for v, _ in news.values()), key=int, default=f"{sub.version}-")
        sub.nonce = self.server.nonce()
        sub.open[sub.nonce] = sub.version
        response = discovery_pb2.DeltaDiscoveryResponse(
            system_version_info=sub.version,
            nonce=sub.nonce,
            type_url=url_of(kind),
            removed_resources=gone,
        )
        for name, (version, resource) in news.items():
            response.resources.add(name=name, version=version).resource.CopyFrom(packed(resource))
        return [response]


def url_of(kind: str) -> str:
    package = {
        "Listener": "config.listener",
        "RouteConfiguration": "config.route",
        "Cluster": "config.cluster",
        "ClusterLoadAssignment": "config.endpoint",
        "Secret": "extensions.transport_sockets.tls",
    }[kind]
    return f"{TYPES}envoy.{package}.v3.{kind}"


def packed(message: Any) -> Any:
    made = Packed()
    made.Pack(message)
    return made
