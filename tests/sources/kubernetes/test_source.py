"""A source that lists, watches and writes back, against a strict API server."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.config import local_ca
from proxy.config.source_model import KubernetesSource
from proxy.sources.kubernetes import make
from proxy.sources.kubernetes.api import Api
from proxy.sources.kubernetes.kinds import KINDS
from proxy.sources.kubernetes.reflector import Reflector
from proxy.sources.source import About
from proxy.tasks import cancel, spawn
from tests.peers.kubernetes_api import BOOKMARK, Server, api_server
from tests.sources.kit import Heard, Watching
from tests.sources.kubernetes.kit import watching
from tests.sources.kubernetes.objects import (
    edge,
    endpoints,
    gateway,
    grant,
    listener,
    made,
    orders,
    route,
    service,
    to,
)

UPSTREAM = "shop.orders.80"


@pytest.fixture
def server() -> Iterator[Server]:
    with api_server() as running:
        yield running


async def do(call: Any, *arguments: Any) -> Any:
    return await asyncio.to_thread(call, *arguments)


def names(heard: Heard) -> list[str]:
    return [table["name"] for table in heard.now.routes] if heard.states else []


async def test_what_is_there_is_given_at_once(server: Server) -> None:
    await do(server.cluster.apply, *edge(), *orders("10.0.0.1", "10.0.0.2"), route())
    async with watching(server) as heard:
        await heard.until(lambda: heard.states)
        assert names(heard) == ["shop/orders"]
        assert heard.now.listeners == [{"address": ":80", "name": "kubernetes:80"}]
        assert heard.said[UPSTREAM] == {"http://10.0.0.1:8080": 1, "http://10.0.0.2:8080": 1}
        assert len(heard.states) == 1
    assert not heard.failures


async def test_changes_are_watched_and_endpoints_are_no_new_state(server: Server) -> None:
    await do(server.cluster.apply, *edge(), *orders(), route())
    async with watching(server) as heard:
        await heard.until(lambda: heard.states)
        await do(server.cluster.apply, endpoints("shop/orders", "10.0.0.9"))
        await heard.until(lambda: heard.said[UPSTREAM] == {"http://10.0.0.9:8080": 1})
        assert len(heard.states) == 1
        await do(server.cluster.apply, service("shop/pay"), endpoints("shop/pay", "10.1.0.1"))
        await do(server.cluster.apply, route("shop/pay", {"backendRefs": [to("pay")]}))
        await heard.until(lambda: names(heard) == ["shop/orders", "shop/pay"])
        await heard.until(lambda: heard.said["shop.pay.80"] == {"http://10.1.0.1:8080": 1})
        await do(server.cluster.delete, "HTTPRoute", "shop", "pay")
        await heard.until(lambda: names(heard) == ["shop/orders"])
    assert not heard.failures


async def test_pages_history_and_watches_that_end(server: Server) -> None:
    server.cluster.page = 3
    routes = [route(f"shop/r{i}", created=f"2026-01-01T00:00:{i:02}Z") for i in range(10)]
    await do(server.cluster.apply, *edge(), *orders(), *routes)
    async with watching(server) as heard:
        await heard.until(lambda: len(names(heard)) == 10)
        watches = await do(server.cluster.watchers, "httproutes")
        await do(server.cluster.end_watches)
        await heard.until(lambda: heard.alive)
        while await do(server.cluster.watchers, "httproutes") == watches:
            await asyncio.sleep(0.01)
        # what happens while nobody watches, and whose history is lost
        await do(server.cluster.delete, "HTTPRoute", "shop", "r3")
        await do(server.cluster.forget)
        await heard.until(lambda: len(names(heard)) == 9)
        assert "shop/r3" not in names(heard)
    assert not heard.failures


async def test_a_server_that_is_gone_is_told_and_nothing_is_taken_back(server: Server) -> None:
    await do(server.cluster.apply, *edge(), *orders(), route())
    async with watching(server) as heard:
        await heard.until(lambda: heard.states)
        await do(server.stop_answering)
        await heard.until(lambda: heard.failures)
        assert names(heard) == ["shop/orders"]
        assert heard.said[UPSTREAM]
        await do(server.answer_again)
        await do(server.cluster.apply, endpoints("shop/orders", "10.0.0.9"))
        await heard.until(lambda: heard.said[UPSTREAM] == {"http://10.0.0.9:8080": 1})


async def test_without_definitions_there_is_ingress_and_they_may_come_later(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.sources.kubernetes.reflector.LOOK_AGAIN", 0.05)
    gateway_api = ("gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants")
    server.cluster.absent = {*gateway_api, "backendtlspolicies"}
    backend = {"service": {"name": "orders", "port": {"number": 80}}}
    rule = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
    spec = {"ingressClassName": "spangate", "rules": [rule]}
    await do(server.cluster.apply, *orders(), made("Ingress", "shop/web", spec=spec))
    async with watching(server) as heard:
        await heard.until(lambda: names(heard) == ["ingress:shop/web"])
        assert not heard.failures
        for plural in sorted(server.cluster.absent):
            await do(server.cluster.define, plural)
        await do(server.cluster.apply, *edge(), route())
        await heard.until(lambda: "shop/orders" in names(heard))


async def test_a_kind_that_every_cluster_has_and_this_does_not_know_is_no_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.sources.kubernetes.reflector.LOOK_AGAIN", 0.05)
    server.cluster.absent = {"services"}
    await do(server.cluster.apply, *edge(), route())
    async with watching(server) as heard:
        await heard.until(lambda: heard.failures and names(heard) == ["shop/orders"])
        alive, told = heard.alive, len(heard.failures)
        await heard.until(lambda: len(heard.failures) >= told + 3)
        assert heard.alive == alive, "it is over only when the cluster knows them"
        assert set(heard.failures) == {"the cluster does not know services (404)"}
        await do(server.cluster.define, "services")
        await heard.until(lambda: heard.alive > alive)


async def test_what_may_not_be_read_is_told_by_its_name(server: Server) -> None:
    server.cluster.forbidden = {("list", "namespaces"), ("list", "services")}
    await do(server.cluster.apply, *edge(), *orders(), route())
    async with watching(server) as heard:
        await heard.until(lambda: heard.failures)
        assert "/api/v1/services: this account may not do that (403)" in heard.failures[0]
        assert 'cannot list resource "services"' in heard.failures[0]
        assert not heard.states, "routes without services are no state"
        server.cluster.forbidden = {("list", "namespaces")}
        await heard.until(lambda: heard.states)
        assert any("namespaces" in one and "403" in one for one in heard.now.left_out)


async def test_too_many_requests_are_followed_by_a_pause(server: Server) -> None:
    server.cluster.busy = 3
    await do(server.cluster.apply, *edge(), *orders(), route())
    async with watching(server) as heard:
        await heard.until(lambda: heard.states)
        assert all("429" in failure for failure in heard.failures)


async def test_the_token_is_read_again_when_it_rotates(server: Server, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    server.cluster.tokens = {"first"}
    await do(server.cluster.apply, *edge(), *orders(), route())
    async with watching(server, token=str(token)) as heard:
        await heard.until(lambda: heard.states)
        server.cluster.tokens = {"second"}
        await do(server.cluster.end_watches)
        await heard.until(lambda: heard.failures)
        assert "the token is not accepted (401)" in heard.failures[-1]
        token.write_text("second\n")
        await do(server.cluster.apply, route("shop/late"))
        await heard.until(lambda: "shop/late" in names(heard))


async def test_namespaces_are_watched_one_by_one(server: Server) -> None:
    await do(server.cluster.apply, *edge(), *orders(), route(), route("other/x"))
    async with watching(server, namespaces=["infra", "shop"]) as heard:
        await heard.until(lambda: heard.states)
        assert names(heard) == ["shop/orders"]
    paths = {target.partition("?")[0] for _, target in server.cluster.asked}
    assert "/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes" in paths
    assert "/apis/gateway.networking.k8s.io/v1/httproutes" not in paths


async def test_only_secrets_that_are_referred_to_are_read(server: Server) -> None:
    tls = {"certificateRefs": [{"name": "cert"}]}
    https = {"name": "https", "port": 443, "protocol": "HTTPS", "tls": tls}
    await do(server.cluster.apply, *edge(https), made("Secret", "infra/other", data={"a": "Yg=="}))
    async with watching(server) as heard:
        await heard.until(lambda: heard.states)
        assert any("there is no Secret infra/cert" in one for one in heard.now.left_out)
    asked = [target for _, target in server.cluster.asked if "secrets" in target]
    assert asked
    assert all("/namespaces/infra/secrets?" in target for target in asked)
    assert all("fieldSelector=metadata.name%3Dcert" in target for target in asked)


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>proxy login</html>",
        b"",
        b"[]",
        b'{"items": 3}',
        b'{"metadata": {"resourceVersion": 7}}',
        b"[" * 100_000,
        b'{"metadata": {"resourceVersion": "\xff"}}',
        b'{"metadata": {"resourceVersion": "1"}, "items": [{"metadata": {"name": 1}}]',
    ],
)
async def test_what_is_no_api_server_is_told(server: Server, answer: bytes) -> None:
    server.cluster.nonsense = {"services": answer}
    await do(server.cluster.apply, *edge(), *orders(), route())
    async with watching(server) as heard:
        await heard.until(lambda: heard.failures)
        assert "does not speak as an API server does" in heard.failures[0]
        assert not heard.states
        server.cluster.nonsense = {}
        await heard.until(lambda: heard.states)
        assert names(heard) == ["shop/orders"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "ADDED"}\n',
        b'{"type": "\xff", "object": {}}\n',
        b'{"type": "MODIFIED", "object": {"metadata": {"resourceVersion": "\xff"}}}\n',
        b'{"type": "ERROR", "object": {"message": "\xff"}}\n',
        b'{"type": "ADDED", "object": {"metadata"\n',
    ],
)
async def test_a_watch_that_says_nonsense_is_begun_again(server: Server, line: bytes) -> None:
    await do(server.cluster.apply, *edge(), *orders(), route())
    async with watching(server) as heard:
        await heard.until(lambda: heard.states)
        server.cluster.nonsense = {"httproutes": line}
        await do(server.cluster.end_watches)
        await heard.until(lambda: heard.failures)
        assert names(heard) == ["shop/orders"]
        server.cluster.nonsense = {}
        await do(server.cluster.apply, route("shop/late"))
        await heard.until(lambda: "shop/late" in names(heard))


async def test_objects_of_any_form_do_not_keep_others_away(server: Server) -> None:
    server.cluster.is_lenient = True
    odd = [
        {**route("shop/odd"), "spec": 7},
        {**route("shop/worse"), "spec": {"rules": [None, 3], "parentRefs": [{"name": "edge"}]}},
        {**service("shop/strange"), "spec": {"ports": "many"}},
        {**endpoints("shop/strange", "10.0.0.1"), "endpoints": [{"addresses": "10.0.0.1"}]},
        {**made("Ingress", "shop/web"), "spec": {"ingressClassName": "spangate", "rules": 1}},
    ]
    strange = route("shop/strange", {"backendRefs": [to("strange")]})
    await do(server.cluster.apply, *edge(), *orders(), route(), *odd, strange)
    async with watching(server) as heard:
        await heard.until(lambda: heard.states)
        assert names(heard) == ["shop/orders", "shop/strange"]
        assert heard.now.routes[1]["respond"] == {"status": 500}
        assert any("Ingress shop/web" in one for one in heard.now.left_out)
        assert any("Service shop/strange cannot be read" in one for one in heard.now.left_out)


async def test_a_grant_that_is_taken_back_closes_the_way(server: Server) -> None:
    leave = grant("pay", "HTTPRoute", "shop")
    there = route("shop/pay", {"backendRefs": [to("pay/pay")]})
    await do(server.cluster.apply, *edge(), service("pay/pay"), there, leave)
    async with watching(server) as heard:
        await heard.until(lambda: heard.states)
        assert heard.now.routes[0]["to"] == {"pay.pay.80": 1}
        await do(server.cluster.delete, "ReferenceGrant", "pay", "from-shop")
        await heard.until(lambda: "respond" in heard.now.routes[0])


class Kept:
    """What one reflector keeps."""

    def __init__(self) -> None:
        self.found: dict[Any, Any] = {}
        self.told: list[str] = []

    def put(self, kind: str, key: Any, found: Any) -> None:
        self.found[key] = found

    def drop(self, kind: str, key: Any) -> None:
        del self.found[key]

    def keys(self, kind: str, namespace: str, name: str) -> set[Any]:
        return set(self.found)

    def listed(self, about: str) -> None:
        self.told.append(f"{about} listed")

    def unknown(self, about: str, why: str) -> None:
        self.told.append(why)

    def heard(self, about: str) -> None:
        pass

    def forbidden(self, about: str, why: str, may_miss: bool) -> None:
        self.told.append(why)

    def failed(self, about: str, why: str) -> None:
        self.told.append(why)


async def test_bookmarks_spare_a_list(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have changed so much that the history of ours would be gone."""
    monkeypatch.setattr("proxy.sources.kubernetes.reflector.SOONEST", 0.0)
    cluster, kept = server.cluster, Kept()
    await do(cluster.apply, route())
    api = Api(KubernetesSource(server=server.url), About("/"))
    one = Reflector(api, KINDS["HTTPRoute"], kept)
    task = spawn(one.run(), "reflector")
    try:
        async with asyncio.timeout(60):
            while await do(cluster.watchers, "httproutes") < 1:
                await asyncio.sleep(0.01)
            await do(cluster.apply, *(service(f"shop/s{i}") for i in range(BOOKMARK)))
            while one.version != await do(cluster.revision):
                await asyncio.sleep(0.01)
            await do(cluster.forget, 0)
            while await do(cluster.watchers, "httproutes") < 2:
                await asyncio.sleep(0.01)
            await do(cluster.apply, route("shop/new"))
            while len(kept.found) < 2:
                await asyncio.sleep(0.01)
        assert await do(cluster.lists, "httproutes") == 1
        assert kept.told == ["httproutes listed"]
    finally:
        await cancel(task)
        await api.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", ""])
async def test_a_pod_knows_its_server(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = local_ca.make(str(tmp_path / "tls"), ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.cert, files.key)
    monkeypatch.setattr("proxy.sources.kubernetes.api.POD", str(tmp_path))
    (tmp_path / "ca.crt").write_bytes(files.ca.read_bytes())
    (tmp_path / "token").write_text("of the pod")
    with api_server(context) as server:
        server.cluster.tokens = {"of the pod"}
        await do(server.cluster.apply, *edge(), *orders(), route())
        environ = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(server.port)}
        source = make(KubernetesSource(), About("/", environ=environ))
        async with Watching(source) as heard:
            if host == "127.0.0.1":
                await heard.until(lambda: names(heard) == ["shop/orders"])
                return
            await heard.until(lambda: heard.failures)
            said = f"[::1]:{server.port}" if host else "there is no KUBERNETES_SERVICE_HOST"
            assert said in heard.failures[0]


async def test_some_gateways_of_the_class_alone(server: Server) -> None:
    other = gateway("infra/other", listener(81, routes="All"))
    await do(server.cluster.apply, *edge(), other, *orders(), route())
    async with watching(server, gateways=["infra/other"]) as heard:
        await heard.until(lambda: heard.states)
        assert [table["address"] for table in heard.now.listeners] == [":81"]
        assert names(heard) == []


async def test_a_server_that_answers_again_is_known_without_news(server: Server) -> None:
    await do(server.cluster.apply, *edge(), *orders(), route())
    async with watching(server, status=False) as heard:
        await heard.until(lambda: heard.states)
        await do(server.stop_answering)
        await heard.until(lambda: heard.failures)
        alive = heard.alive
        await do(server.answer_again)
        await heard.until(lambda: heard.alive > alive)


async def test_one_reason_for_all_collections_is_told_as_one(
    server: Server, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("one")
    server.cluster.tokens = {"one"}
    await do(server.cluster.apply, *edge(), *orders(), route())
    async with watching(server, status=False, token=str(token)) as heard:
        await heard.until(lambda: heard.states)
        server.cluster.tokens = {"two"}
        await do(server.cluster.end_watches)
        await heard.until(lambda: len(heard.failures) > 5)
        assert set(heard.failures) == {"the token is not accepted (401): Unauthorized"}


async def test_what_cannot_be_read_is_told_together_and_is_over_when_it_can(
    server: Server,
) -> None:
    await do(server.cluster.apply, *edge(), *orders(), route())
    async with watching(server, status=False) as heard:
        await heard.until(lambda: heard.states)
        names = ("gateways", "httproutes", "namespaces")
        server.cluster.forbidden = {("watch", name) for name in names}
        await do(server.cluster.end_watches)
        both = ('watch resource "gateways"', 'watch resource "httproutes"')
        await heard.until(lambda: any(all(b in one for b in both) for one in heard.failures))
        await heard.until(lambda: any("namespaces" in one for one in heard.now.left_out))
        server.cluster.forbidden = set()
        await heard.until(lambda: not heard.now.left_out)


async def test_watches_that_end_at_once_are_told(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.sources.kubernetes.reflector.SOONEST", 0.05)

    async def end(request: Any, response: Any, *_: Any) -> None:
        await response.prepare(request)

    server.cluster._watch = end  # type: ignore[method-assign]
    await do(server.cluster.apply, *edge(), *orders(), route())
    async with watching(server, status=False) as heard:
        await heard.until(lambda: any("ends watches of" in one for one in heard.failures))
        assert names(heard) == ["shop/orders"]
