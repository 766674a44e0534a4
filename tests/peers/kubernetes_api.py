"""An API server as a peer of tests: lists in pages and watches, as strict as the real one.

After https://kubernetes.io/docs/reference/using-api/api-concepts/. One number counts all changes.
A watch gets what came after the version that it names, if that is still in the history, else 410;
bookmarks only if it asks for them; and its lines come in pieces. Objects must fit their schemas
(`kubernetes_schema.py`), statuses too. A status is written by a merge patch, over the version that
it names or not at all. Runs in a thread of its own, so that tests of any kind can use it.
"""

from __future__ import annotations

import asyncio
import copy
import json
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeVar

from aiohttp import web

from proxy.tasks import cancel, spawn
from tests.peers.kubernetes_schema import judged
from tests.ports import free_port

T = TypeVar("T")
Object = dict[str, Any]
DEADLINE = 60.0
BOOKMARK = 10  # changes of other objects after which a watch is told how far it is


class Collection(NamedTuple):
    kind: str
    group: str
    version: str
    namespaced: bool = True
    has_status: bool = False


GATEWAY = "gateway.networking.k8s.io"
COLLECTIONS = {
    "gatewayclasses": Collection("GatewayClass", GATEWAY, "v1", False, True),
    "gateways": Collection("Gateway", GATEWAY, "v1", True, True),
    "httproutes": Collection("HTTPRoute", GATEWAY, "v1", True, True),
    "grpcroutes": Collection("GRPCRoute", GATEWAY, "v1", True, True),
    "referencegrants": Collection("ReferenceGrant", GATEWAY, "v1beta1"),
    "backendtlspolicies": Collection("BackendTLSPolicy", GATEWAY, "v1", True, True),
    "services": Collection("Service", "", "v1", True, True),
    "endpointslices": Collection("EndpointSlice", "discovery.k8s.io", "v1"),
    "secrets": Collection("Secret", "", "v1"),
    "configmaps": Collection("ConfigMap", "", "v1"),
    "namespaces": Collection("Namespace", "", "v1", False),
    "ingresses": Collection("Ingress", "networking.k8s.io", "v1", True, True),
    "ingressclasses": Collection("IngressClass", "networking.k8s.io", "v1", False),
}
PLURALS = {one.kind: plural for plural, one in COLLECTIONS.items()}


class Refused(Exception):
    """What the server answers instead."""

    def __init__(self, status: int, reason: str, message: str, after: int = 0) -> None:
        super().__init__(message)
        self.status, self.reason, self.after = status, reason, after

    def body(self) -> Object:
        return {
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": str(self),
            "reason": self.reason, "code": self.status,
        }  # fmt: skip


class Cluster:
    """What there is, and how the server behaves. Its attributes may be set at any time."""

    def __init__(self) -> None:
        self.tokens: set[str] = set()  # that are accepted; none = any
        self.absent: set[str] = set()  # collections of which the cluster has no definition
        self.forbidden: set[tuple[str, str]] = set()  # (verb, plural)
        self.busy = 0  # so many requests get 429
        self.page = 0  # objects of a page at most, 0 = as asked
        self.nonsense: dict[str, bytes] = {}  # what stands instead of answers, by collection
        self.is_lenient = False  # takes objects of any form
        self.asked: list[tuple[str, str]] = []  # method and target
        self.writes: list[tuple[str, Object]] = []  # path and patch of those that were taken
        self.conflicts = 0
        self._revision = 1000
        self._objects: dict[str, dict[tuple[str, str], Object]] = {p: {} for p in COLLECTIONS}
        self._history: dict[str, list[tuple[int, str, Object]]] = {p: [] for p in COLLECTIONS}
        self._oldest = 1000  # changes after it are in the history
        self._pages: dict[str, tuple[int, list[Object]]] = {}
        self._stirred = asyncio.Event()
        self._cut = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    # what tests do; from any thread

    def apply(self, *found: Object) -> None:
        """Create or replace. The status stays as it is unless it is given."""
        self._do(lambda: [self._apply(one) for one in found])

    def delete(self, kind: str, namespace: str, name: str) -> None:
        def delete() -> None:
            plural = PLURALS[kind]
            found = self._objects[plural].pop((namespace, name))
            self._note(plural, "DELETED", found)

        self._do(delete)

    def get(self, kind: str, namespace: str, name: str) -> Object:
        return self._do(lambda: copy.deepcopy(self._objects[PLURALS[kind]][namespace, name]))

    def forget(self, more: int = 1) -> None:
        """The history up to now is compacted away, and watches end. `more`: versions beyond what
        has happened; 0 = who has heard of all that goes on."""

        def forget() -> None:
            self._oldest = self._revision = self._revision + more
            for history in self._history.values():
                history.clear()
            self._pages.clear()
            self._end()

        self._do(forget)

    def end_watches(self) -> None:
        self._do(self._end)

    def define(self, plural: str) -> None:
        self._do(lambda: self.absent.discard(plural))

    def revision(self) -> str:
        return self._do(lambda: str(self._revision))

    def watchers(self, plural: str) -> int:
        """So many requests to watch it have come."""
        return self._do(
            lambda: sum(plural in target and "watch=1" in target for _, target in self.asked)
        )

    def lists(self, plural: str) -> int:
        """So many requests to list it have come."""
        return self._do(
            lambda: sum(plural in target and "watch=1" not in target for _, target in self.asked)
        )

    def _do(self, call: Callable[[], T]) -> T:
        async def run() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(DEADLINE)

    def _apply(self, found: Object) -> None:
        plural = PLURALS[found["kind"]]
        collection = COLLECTIONS[plural]
        found = copy.deepcopy(found)
        if not self.is_lenient:
            found, wrong = judged(collection.kind, found)
            assert not wrong, wrong
        meta = found["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        before = self._objects[plural].get(key)
        if before is not None:
            found.setdefault("status", before.get("status", {}))
            same = before.get("spec") == found.get("spec")
            meta["generation"] = before["metadata"]["generation"] + (not same)
            meta["creationTimestamp"] = before["metadata"]["creationTimestamp"]
        else:
            meta.setdefault("generation", 1)
            meta.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        meta["managedFields"] = [{"manager": "kubectl"}]
        self._put(plural, key, found, "ADDED" if before is None else "MODIFIED")

    def _put(self, plural: str, key: tuple[str, str], found: Object, event: str) -> None:
        self._objects[plural][key] = found
        self._note(plural, event, found)

    def _note(self, plural: str, event: str, found: Object) -> None:
        self._revision += 1
        found["metadata"]["resourceVersion"] = str(self._revision)
        self._history[plural].append((self._revision, event, copy.deepcopy(found)))
        stirred, self._stirred = self._stirred, asyncio.Event()
        stirred.set()

    def _end(self) -> None:
        cut, self._cut = self._cut, asyncio.Event()
        cut.set()

    # what the server answers

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs))
        try:
            return await self._answer(request)
        except Refused as refused:
            headers = {"Retry-After": str(refused.after)} if refused.after else {}
            return web.json_response(refused.body(), status=refused.status, headers=headers)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.tokens and token not in self.tokens:
            raise Refused(401, "Unauthorized", "Unauthorized")
        if self.busy > 0:
            self.busy -= 1
            raise Refused(429, "TooManyRequests", "too many requests", 1)
        plural, namespace, name, below = self._place(request.path)
        verb = "patch" if request.method == "PATCH" else "watch"
        if request.method == "GET" and "watch" not in request.query:
            verb = "get" if name else "list"
        what = plural + (f"/{below}" if below else "")
        if (verb, what) in self.forbidden:
            message = f'{plural} is forbidden: User "spangate" cannot {verb} resource "{what}"'
            raise Refused(403, "Forbidden", message)
        if (nonsense := self.nonsense.get(plural)) is not None and verb in ("list", "watch"):
            return web.Response(body=nonsense, content_type="application/json")
        if verb == "patch":
            return web.json_response(await self._patch(request, plural, (namespace, name), below))
        if verb == "get":
            return web.json_response(self._found(plural, (namespace, name)))
        if verb == "list":
            return web.json_response(self._list(request, plural, namespace))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        with suppress(ConnectionError):  # who watched has left
            await self._watch(request, response, plural, namespace)
        return response

    def _place(self, path: str) -> tuple[str, str, str, str]:
        """(plural, namespace, name, subresource)."""
        parts = path.strip("/").split("/")
        group = parts[1] if parts[0] == "apis" else ""
        version, rest = (parts[2], parts[3:]) if group else (parts[1], parts[2:])
        namespace = ""
        if len(rest) > 2 and rest[0] == "namespaces":
            namespace, rest = rest[1], rest[2:]
        plural, name, below = (*rest, "", "")[:3]
        known = COLLECTIONS.get(plural)
        if known is None or (known.group, known.version) != (group, version):
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        if plural in self.absent:
            raise Refused(404, "NotFound", "the server could not find the requested resource")
        return plural, namespace, name, below

    def _found(self, plural: str, key: tuple[str, str]) -> Object:
        found = self._objects[plural].get(key)
        if found is None:
            raise Refused(404, "NotFound", f'{plural} "{key[1]}" not found')
        return found

    def _list(self, request: web.BaseRequest, plural: str, namespace: str) -> Object:
        go_on = request.query.get("continue", "")
        limit = min(int(request.query.get("limit", "0")) or 2**31, self.page or 2**31)
        if go_on:
            if go_on not in self._pages:
                raise Refused(410, "Expired", "The provided continue parameter is too old")
            revision, items = self._pages.pop(go_on)
        else:
            revision = self._revision
            items = [
                copy.deepcopy(one)
                for key, one in sorted(self._objects[plural].items())
                if _is_asked(key, namespace, request)
            ]
        meta: Object = {"resourceVersion": str(revision)}
        if len(items) > limit:
            token = f"{plural}-{revision}-{len(items)}"
            self._pages[token] = revision, items[limit:]
            meta |= {"continue": token, "remainingItemCount": len(items) - limit}
        collection = COLLECTIONS[plural]
        version = "/".join(filter(None, (collection.group, collection.version)))
        kind = f"{collection.kind}List"
        return {"kind": kind, "apiVersion": version, "metadata": meta, "items": items[:limit]}

    async def _watch(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        plural: str,
        namespace: str,
    ) -> None:
        after = int(request.query["resourceVersion"])
        response.enable_chunked_encoding()
        await response.prepare(request)
        if after < self._oldest:
            gone = Refused(410, "Expired", f"too old resource version: {after} ({self._oldest})")
            await self._send(response, {"type": "ERROR", "object": gone.body()})
            return
        seconds = float(request.query.get("timeoutSeconds", "1800"))
        marked = after
        cut, end = self._cut, asyncio.get_running_loop().time() + seconds
        while not cut.is_set():
            stirred = self._stirred
            history = self._history[plural]
            for revision, event, found in history[bisect_right(history, after, key=_first) :]:
                key = (found["metadata"].get("namespace", ""), found["metadata"]["name"])
                after = revision
                if _is_asked(key, namespace, request):
                    await self._send(response, {"type": event, "object": found})
            wants = request.query.get("allowWatchBookmarks") in ("1", "true")
            if wants and self._revision - marked >= BOOKMARK:
                marked = self._revision
                kind = COLLECTIONS[plural].kind
                mark = {"kind": kind, "metadata": {"resourceVersion": str(self._revision)}}
                await self._send(response, {"type": "BOOKMARK", "object": mark})
            left = end - asyncio.get_running_loop().time()
            waiting = [spawn(one.wait(), "watch") for one in (stirred, cut)]
            done, _ = await asyncio.wait(
                waiting, timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED
            )
            await cancel(*waiting)
            if not done:
                break

    async def _send(self, response: web.StreamResponse, event: Object) -> None:
        """In two pieces, as segments may come."""
        line = json.dumps(event).encode() + b"\n"
        await response.write(line[: len(line) // 2])
        await asyncio.sleep(0)
        await response.write(line[len(line) // 2 :])

    async def _patch(
        self, request: web.BaseRequest, plural: str, key: tuple[str, str], below: str
    ) -> Object:
        if request.headers.get("Content-Type") != "application/merge-patch+json":
            raise Refused(415, "UnsupportedMediaType", "the body is no merge patch")
        if below != "status" or not COLLECTIONS[plural].has_status:
            raise Refused(404, "NotFound", "there is no such subresource")
        patch = json.loads(await request.read())
        before = self._found(plural, key)
        version = patch.get("metadata", {}).get("resourceVersion")
        if version not in (None, before["metadata"]["resourceVersion"]):
            self.conflicts += 1
            message = (
                "the object has been modified; please apply your changes to the latest version"
            )
            raise Refused(409, "Conflict", message)
        found = copy.deepcopy(before)
        found["status"] = _merged(before.get("status", {}), patch.get("status", {}))
        found, wrong = judged(COLLECTIONS[plural].kind, found)
        wrong = [one for one in wrong if one.startswith("status")] if self.is_lenient else wrong
        if wrong:
            raise Refused(422, "Invalid", "; ".join(wrong))
        self.writes.append((request.path, patch))
        if found != before:
            self._put(plural, key, found, "MODIFIED")
        return found


def _first(change: tuple[int, str, Object]) -> int:
    return change[0]


def _is_asked(key: tuple[str, str], namespace: str, request: web.BaseRequest) -> bool:
    name = request.query.get("fieldSelector", "").removeprefix("metadata.name=")
    return namespace in ("", key[0]) and name in ("", key[1])


def _merged(value: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    made = dict(value) if isinstance(value, dict) else {}
    for key, below in patch.items():
        if below is None:
            made.pop(key, None)
        else:
            made[key] = _merged(made.get(key), below)
    return made


class Server:
    """A cluster that answers at `url`."""

    def __init__(self, port: int = 0, tls: Any = None) -> None:
        self.port = port
        self._tls = tls
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._runner: web.ServerRunner | None = None
        self.cluster: Cluster
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(DEADLINE)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)

    def stop_answering(self) -> None:
        """Connections are refused from now on, and the ones that there are end."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(DEADLINE)

    def answer_again(self) -> None:
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(DEADLINE)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._begin())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._stop())
        self._loop.close()

    async def _begin(self) -> None:
        self.cluster = Cluster()
        await self._start()

    async def _start(self) -> None:
        self._runner = web.ServerRunner(web.Server(self.cluster.answer), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, "127.0.0.1", self.port, ssl_context=self._tls, reuse_address=True
        )
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _stop(self) -> None:
        if self._runner is not None:
            self.cluster._end()
            await self._runner.cleanup()
            self._runner = None


@contextmanager
def api_server(tls: Any = None) -> Iterator[Server]:
    server = Server(free_port(), tls)  # it may be left and listened on again
    server.start()
    try:
        yield server
    finally:
        server.close()
