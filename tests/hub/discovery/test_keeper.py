"""What is kept, told and logged of what sources find."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

import pytest

from proxy.config.load import load, loads
from proxy.hub import gauges
from proxy.hub.discovery.keeper import Discoveries

A, B, C = "http://10.0.0.1:8000", "http://10.0.0.2:8000", "http://10.0.0.3:8000"


class Heard:
    """Keeps what was told last of each upstream."""

    def __init__(self) -> None:
        self.servers: dict[str, dict[str, int]] = {}
        self.news = asyncio.Event()

    def __call__(
        self, upstream: str, servers: Mapping[str, int], changed: Iterable[str] | None = None
    ) -> None:
        self.servers[upstream] = dict(servers)
        self.news.set()

    async def until(self, servers: Mapping[str, int]) -> None:
        async with asyncio.timeout(60):
            while self.servers.get("orders") != servers:
                self.news.clear()
                await self.news.wait()


class Gateway:
    """A folder with a configuration whose upstream discovers, and what keeps it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.heard = Heard()
        self.discoveries = Discoveries(self.heard)

    def file(self, servers: object, name: str = "orders.json") -> None:
        new = self.folder / "new"
        new.write_text(json.dumps(servers))
        new.replace(self.folder / name)

    def configure(self, lines: str = 'discover = "file:orders.json"') -> None:
        text = f'[[route]]\nto = "orders"\n[upstream.orders]\n{lines}\n'
        (self.folder / "routes.toml").write_text(text)
        self.discoveries.configure(load(str(self.folder / "routes.toml"), {}))


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    made = Gateway(tmp_path)
    yield made
    await made.discoveries.stop()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


async def test_each_change_is_told_once(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    gateway.file([A, B])
    gateway.configure()
    await gateway.heard.until({A: 1, B: 1})
    gateway.file({"servers": {B: 5, C: 1}})
    await gateway.heard.until({B: 5, C: 1})
    begin = "upstream orders: discover file:orders.json: 2 discovered; "
    assert lines(caplog) == [
        f"{begin}came {A}, {B}",
        f"{begin}came {C}; went {A}; weight {B} = 5",
    ]


async def test_a_failure_is_told_once_with_the_age_of_what_stays(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gateway.configure()
    await gateway.discoveries.first(20)
    assert lines(caplog)[0].endswith("No such file or directory; nothing was discovered yet")
    gateway.file([A])
    await gateway.heard.until({A: 1})
    watch = gateway.discoveries.get("orders")
    assert watch is not None
    for _ in range(3):
        watch.failed("it broke")
    assert watch.view()["error"] == "it broke"
    assert watch.view()["servers"] == {A: 1}
    watch.found({A: 1})
    assert watch.view()["error"] == ""
    said = [line.partition("orders.json: ")[2] for line in lines(caplog)[1:]]
    assert said == [
        f"1 discovered; came {A}; found again",
        "it broke; the 1 discovered 0 s ago stay",
        "1 discovered; found again",
    ]
    series = {(s[0].name, s[1][2:]): s[2] for s in gateway.discoveries.series()}
    assert series[gauges.DISCOVERED.name, ()] == 1
    assert series[gauges.DISCOVERY_CHANGES.name, ()] == 1
    assert series[gauges.DISCOVERIES.name, (("result", "failure"),)] >= 4


async def test_a_reload_keeps_what_was_found_and_switches_sources(gateway: Gateway) -> None:
    gateway.file([A])
    gateway.configure()
    await gateway.heard.until({A: 1})
    watch = gateway.discoveries.get("orders")
    gateway.heard.servers.clear()
    gateway.configure()
    assert gateway.heard.servers == {"orders": {A: 1}}, "told again, at once"
    gateway.configure('discover = "file:other.json"')
    assert gateway.discoveries.get("orders") is watch
    assert gateway.heard.servers == {"orders": {A: 1}}, "until the other source has found some"
    gateway.file([B], "other.json")
    await gateway.heard.until({B: 1})
    gateway.configure(f'servers = ["{C}"]')
    assert gateway.heard.servers == {"orders": {}}
    assert gateway.discoveries.get("orders") is None


async def test_a_server_of_the_file_is_not_there_twice(gateway: Gateway) -> None:
    gateway.file(["http://orders:80", A])
    gateway.configure('servers = ["http://orders"]\ndiscover = "file:orders.json"')
    await gateway.heard.until({"http://orders": 1, A: 1})


async def test_servers_that_take_bytes_are_none_for_requests(gateway: Gateway) -> None:
    gateway.file([A])
    gateway.configure()
    await gateway.heard.until({A: 1})
    watch = gateway.discoveries.get("orders")
    assert watch is not None
    watch.found({"tcp://a:1": 1})
    assert gateway.heard.servers["orders"] == {A: 1}
    assert watch.reason == "'tcp://a:1' is not for this upstream, which takes http:// servers"


async def test_ten_thousand_are_told_in_one_line(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    many = [f"http://10.0.{n // 250}.{n % 250}:80" for n in range(10_000)]
    gateway.file(many)
    gateway.configure()
    await gateway.heard.until(dict.fromkeys(many, 1))
    assert lines(caplog)[0].endswith(" and 9992 more")


async def test_nothing_is_waited_for_where_nothing_discovers() -> None:
    discoveries = Discoveries(Heard())
    discoveries.configure(loads('route = [{ to = "http://a" }]', "f", {}))
    await discoveries.first(0)
    assert list(discoveries.series()) == []
