"""Consul as a source, against a server that answers blocking queries as Consul's pages say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web

from proxy.config.source_model import ConsulSource
from proxy.sources import consul as module
from proxy.sources import consul_service as service
from proxy.sources.source import About
from tests.sources.kit import Watching
from tests.sources.test_etcd import serving


class Agent:
    """What Consul knows, and who waits for it."""

    def __init__(self) -> None:
        self.services: dict[str, list[dict[str, Any]]] = {}
        self.index = 10
        self.token = ""
        self.failing = False
        self.broken: set[str] = set()  # services that it cannot tell of
        self.blocks = True
        self.nonsense = b""  # the answer, if it is not empty
        self.asked: list[str] = []
        self._changed = asyncio.Event()

    def put(self, name: str, *instances: dict[str, Any]) -> None:
        self.services[name] = list(instances)
        self._stir(1)

    def drop(self, name: str) -> None:
        del self.services[name]
        self._stir(1)

    def restore(self) -> None:
        """From a backup, so that it counts from an earlier number."""
        self._stir(-8)

    def _stir(self, by: int) -> None:
        self.index += by
        event, self._changed = self._changed, asyncio.Event()
        event.set()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.asked.append(request.path_qs)
        if self.token and request.headers.get("X-Consul-Token") != self.token:
            return web.Response(status=403, text="Permission denied: token lacks permission")
        index = int(request.query.get("index", 0))
        if index and index == self.index and self.blocks:
            assert request.query["wait"] == "55s"
            await self._changed.wait()
        if self.failing:  # also for one who waited: he must not hear what came with the failure
            return web.Response(status=500, text="No cluster leader")
        if self.nonsense:
            return web.Response(body=self.nonsense, headers={"X-Consul-Index": "-1"})
        name = request.path.rpartition("/")[2]
        if name in self.broken:
            return web.Response(status=500, text="rpc error: stale")
        found: Any = self.services.get(name, [])
        if request.path == "/v1/catalog/services":
            found = {name: _tags(some) for name, some in self.services.items()}
        else:
            assert "passing" in request.query
            tag = request.query.get("tag")
            found = [one for one in found if not tag or tag in one["Service"]["Tags"]]
        return web.json_response(found, headers={"X-Consul-Index": str(self.index)})


def _tags(instances: list[dict[str, Any]]) -> list[str]:
    return sorted({tag for one in instances for tag in one["Service"]["Tags"]})


def instance(port: int, address: str = "10.0.0.1", **more: Any) -> dict[str, Any]:
    service = {"Service": "x", "Address": address, "Port": port, "Tags": [], **more}
    return {"Node": {"Node": "n", "Address": "10.9.9.9"}, "Service": service, "Checks": []}


@asynccontextmanager
async def agent() -> AsyncIterator[tuple[Agent, str]]:
    known = Agent()
    async with serving(known.answer) as url:
        yield known, url


def watching(url: str, **more: Any) -> Watching:
    return Watching(module.make(ConsulSource(server=url, **more), About("/")))


async def test_services_become_upstreams_with_their_instances() -> None:
    async with agent() as (known, url):
        known.put("orders", instance(8000), instance(8001, "", Weights={"Passing": 5}))
        known.put("six", instance(80, "fd00::1"))
        async with watching(url, prefix="c-") as heard:
            await heard.until(lambda: heard.states)
            assert heard.now.upstreams == {
                "c-orders": {"discover": "source"},
                "c-six": {"discover": "source"},
            }
            assert heard.said["c-orders"] == {"http://10.0.0.1:8000": 1, "http://10.9.9.9:8001": 5}
            assert heard.said["c-six"] == {"http://[fd00::1]:80": 1}
            states = len(heard.states)
            known.put("orders", instance(9000))
            await heard.until(lambda: heard.said["c-orders"] == {"http://10.0.0.1:9000": 1})
            assert len(heard.states) == states, "instances are no new state"
            known.drop("six")
            await heard.until(lambda: list(heard.now.upstreams) == ["c-orders"])
            assert heard.said["c-six"] == {}
        assert not heard.failures


async def test_meta_data_say_how_a_service_is_asked() -> None:
    async with agent() as (known, url):
        known.put("pay", instance(443, Meta={"scheme": "https", "protocol": "grpc"}))
        async with watching(url) as heard:
            await heard.until(lambda: heard.states)
            assert heard.now.upstreams["pay"] == {"discover": "source+https", "protocol": "h2"}
            assert heard.said["pay"] == {"https://10.0.0.1:443": 1}


async def test_only_what_was_asked_for() -> None:
    async with agent() as (known, url):
        known.put("orders", instance(1, Tags=["blue"]), instance(2, Tags=["green"]))
        known.put("other", instance(3, Tags=["green"]))
        known.put("bad name", instance(4, Tags=["blue"]))
        async with watching(url, tag="blue", datacenter="west") as heard:
            await heard.until(lambda: heard.states)
            assert heard.said == {"orders": {"http://10.0.0.1:1": 1}}
            assert heard.now.left_out == ["consul service 'bad name': no upstream can be called so"]
        assert all("dc=west" in path for path in known.asked)
        known.asked.clear()
        async with watching(url, services=["other", "to-come"]) as heard:
            await heard.until(lambda: heard.states)
            assert set(heard.now.upstreams) == {"other", "to-come"}
        assert not any("catalog" in path for path in known.asked)


async def test_an_index_that_goes_backwards_begins_anew() -> None:
    async with agent() as (known, url):
        known.put("orders", instance(1))
        async with watching(url) as heard:
            await heard.until(lambda: heard.states)
            known.restore()
            known.put("orders", instance(2))
            await heard.until(lambda: heard.said["orders"] == {"http://10.0.0.1:2": 1})
            known.put("orders", instance(3))
            await heard.until(lambda: heard.said["orders"] == {"http://10.0.0.1:3": 1})


async def test_it_goes_on_when_consul_does() -> None:
    async with agent() as (known, url):
        known.put("orders", instance(1))
        async with watching(url) as heard:
            await heard.until(lambda: heard.states)
            known.failing = True
            known.put("orders", instance(2))
            await heard.until(lambda: heard.failures)
            assert "answered 500: No cluster leader" in heard.failures[0]
            assert heard.said["orders"] == {"http://10.0.0.1:1": 1}, "what was said holds"
            known.failing = False
            await heard.until(lambda: heard.said["orders"] == {"http://10.0.0.1:2": 1})


@pytest.mark.parametrize(
    "body",
    [
        b"<html>", b'[{"Service": {"Port"', b"7", b'[{"Service": {"Port": "80"}}]', b"[[1]]",
        b"[" * 100_000, b'[{"Service": {"Address": "\xff"}}]', b'{"\xff": []}', b"\xff",
        b'[{"Service": {"Port": 1e400}}]', b'"' + b"x" * 10_000_000,
    ],
    ids=lambda body: repr(body[:30]),
)  # fmt: skip
async def test_what_is_no_answer_of_consul_is_told(body: bytes) -> None:
    async with agent() as (known, url):
        known.put("orders", instance(1))
        async with watching(url) as heard:
            await heard.until(lambda: heard.states)
            known.nonsense = body
            known.put("orders", instance(2))
            await heard.until(lambda: len(heard.failures) > 1)
            assert all("none of Consul's" in why for why in heard.failures)
            assert heard.said["orders"] == {"http://10.0.0.1:1": 1}, "what was said holds"
            known.nonsense = b""
            await heard.until(lambda: heard.said["orders"] == {"http://10.0.0.1:2": 1})


async def test_a_token_is_shown_and_never_told() -> None:
    async with agent() as (known, url):
        known.token = "sesame"
        known.put("orders", instance(1))
        async with watching(url, token="wrong-token") as heard:
            await heard.until(lambda: heard.failures)
            assert "403" in heard.failures[0]
            assert "wrong-token" not in heard.failures[0]
        async with watching(url, token="sesame") as heard:
            await heard.until(lambda: heard.states)
            assert "orders" in heard.now.upstreams


@pytest.mark.parametrize("body", ["[1, 2]", '{"a":' * 9000, "\x00", '{"orders": 5}', "null"])
async def test_a_stranger_in_the_place_of_consul(body: str) -> None:
    async def nonsense(_: web.BaseRequest) -> web.Response:
        return web.Response(text=body, headers={"X-Consul-Index": "9" * 40})

    async with serving(nonsense) as url, watching(url) as heard:
        await heard.until(lambda: heard.failures)
        assert "none of Consul's" in heard.failures[0]
        assert not heard.states


async def test_instances_without_a_place_are_passed_over() -> None:
    places = [instance(0), instance(70_000), instance(5)]
    found = msgspec.json.Decoder(list[service.Instance]).decode(msgspec.json.encode(places))
    urls, note = service.urls_of(found, "http")
    assert urls == {"http://10.0.0.1:5": 1}
    assert note == "2 without an address or a port"


async def test_what_a_service_says_late_of_how_it_is_asked_counts() -> None:
    async with agent() as (known, url):
        known.put("pay", instance(443, Meta={"scheme": "https"}))
        known.broken = {"pay"}
        async with watching(url) as heard:
            await heard.until(lambda: heard.states)
            assert heard.now.upstreams["pay"] == {"discover": "source"}
            known.broken = set()
            await heard.until(lambda: heard.said.get("pay") == {"https://10.0.0.1:443": 1})
            assert heard.now.upstreams["pay"] == {"discover": "source+https"}


PLAIN = {"discover": "source"}
TCP = {"discover": "source+tcp"}
WRONG = "consul service pay: upstream.pay.discover: answers are wanted of this upstream"


async def test_a_service_that_is_refused_holds_up_no_other() -> None:
    async with agent() as (known, url):
        known.put("orders", instance(1))
        known.put("pay", instance(2, Meta={"scheme": "tcp"}))
        source = watching(url)
        async with source as heard:
            await heard.until(lambda: heard.states and heard.now.upstreams["pay"] == TCP)
            assert source.source.settled(heard.now, [WRONG]), "another state is to come"
            assert heard.now.upstreams == {"orders": PLAIN, "pay": PLAIN}
            assert (heard.now.left_out, heard.now.kept) == ([WRONG], [])
            assert heard.said["pay"] == {"http://10.0.0.1:2": 1}
            known.put("new", instance(3))
            await heard.until(lambda: "new" in heard.now.upstreams)
            assert heard.now.upstreams["pay"] == {"discover": "source"}, "others come first"
            assert not source.source.settled(heard.now, [])
            known.put("newer", instance(4))
            await heard.until(lambda: "newer" in heard.now.upstreams)
            assert heard.now.upstreams["pay"] == TCP, "it may be good now"
            assert not heard.now.left_out


async def test_a_service_that_is_refused_stays_as_it_was_with_its_servers() -> None:
    async with agent() as (known, url):
        known.put("pay", instance(2, Meta={"scheme": "https"}))
        source = watching(url)
        async with source as heard:
            await heard.until(lambda: heard.states)
            source.source.settled(heard.now, [])
            known.put("pay", instance(3, Meta={"scheme": "tcp"}))
            await heard.until(lambda: heard.now.upstreams["pay"] == TCP)
            both = {"https://10.0.0.1:3": 1, "tcp://10.0.0.1:3": 1}
            await heard.until(lambda: heard.said["pay"] == both)
            assert source.source.settled(heard.now, [WRONG])
            assert heard.now.upstreams["pay"] == {"discover": "source+https"}
            assert heard.now.kept == heard.now.left_out == [WRONG]
            assert heard.said["pay"] == {"https://10.0.0.1:3": 1}
            known.put("pay", instance(4, Meta={"scheme": "tcp"}))
            await heard.until(lambda: heard.said["pay"] == {"https://10.0.0.1:4": 1})
            known.put("pay", instance(4))
            await heard.until(lambda: heard.now.upstreams["pay"] == {"discover": "source"})
            source.source.settled(heard.now, [])
            assert heard.said["pay"] == {"http://10.0.0.1:4": 1}
            assert not heard.now.left_out


async def test_a_service_that_is_refused_however_it_is_given_is_given_as_it_is() -> None:
    """The file is to blame, and what it is when that is mended is not known."""
    async with agent() as (known, url):
        known.put("pay", instance(2, Meta={"scheme": "tcp"}))
        source = watching(url)
        async with source as heard:
            await heard.until(lambda: heard.states and heard.now.upstreams["pay"] == TCP)
            assert source.source.settled(heard.now, [WRONG])
            assert source.source.settled(heard.now, [WRONG])
            assert heard.now.upstreams["pay"] == TCP
            states = len(heard.states)
            assert not source.source.settled(heard.now, [WRONG])
            assert len(heard.states) == states


async def test_one_service_that_cannot_be_asked_is_told_until_it_can() -> None:
    """However often another one is answered."""
    async with agent() as (known, url):
        known.put("orders", instance(1))
        known.put("pay", instance(2))
        async with watching(url) as heard:
            await heard.until(lambda: len(heard.said) == 2)
            known.broken = {"pay"}
            known.put("orders", instance(3))
            await heard.until(lambda: heard.failures)
            alive = heard.alive
            known.put("orders", instance(4))
            await heard.until(lambda: heard.said["orders"] == {"http://10.0.0.1:4": 1})
            assert heard.alive == alive
            known.drop("pay")
            await heard.until(lambda: heard.alive > alive)


async def test_a_server_that_does_not_wait_is_not_asked_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "APART", 0.01)
    monkeypatch.setattr(module, "ALIKE", 3600.0)
    async with agent() as (known, url):
        known.put("orders", instance(1))
        known.blocks = False
        async with watching(url) as heard:
            await heard.until(lambda: heard.alive >= 2 * 8)
        # 0.01 s, doubled for each answer that was like the one before: the tenth is 5 s away
        assert len(known.asked) <= 2 * 13


def test_meta_data_that_mean_nothing_are_told() -> None:
    raw = msgspec.json.encode([instance(1, Meta={"scheme": "gopher", "protocol": "grpc"})])
    found = msgspec.json.Decoder(list[service.Instance]).decode(raw)
    assert service.table_of(found) == {"discover": "source", "protocol": "h2"}
    assert service.odd_meta(found) == "meta scheme 'gopher' is not known"
    assert service.odd_meta([]) == ""
