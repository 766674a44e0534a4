"""The doctor of a running gateway, before twenty services: every broken one named, no sound one."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.hub.gateway import Gateway, gateway, until
from tests.ports import free_port
from tests.recent.services import BROKEN, WAYS, Town, town

CONFIG = """
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[access_log]
stdout = false
[collector.receivers.otlp]
http = "127.0.0.1:{collector}"
[collector.pipelines.traces]
receivers = ["gateway", "otlp"]
exporters = ["recent"]
"""
SERVICE = """
[[route]]
name = "s{number}"
path = "/s{number}/*"
to = "s{number}"
[upstream.s{number}]
servers = ["http://127.0.0.1:{port}"]
"""
ROUNDS = 12

pytestmark = pytest.mark.timeout(300)  # thousands of requests by plain Python on both sides


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Town]]:
    with town() as services:
        services.collector = free_port()
        text = CONFIG.format(collector=services.collector)
        for number, port in enumerate(services.ports):
            text += SERVICE.format(number=number, port=port)
        with gateway(tmp_path_factory.mktemp("doctor"), text, workers=1) as hub:
            services.gate = hub.port
            yield hub, services


def diagnosed(hub: Gateway) -> dict[str, set[str]]:
    """Kinds by service."""
    status, _, body = hub.ask("/api/doctor")
    assert status == 200, body
    found: dict[str, set[str]] = {}
    for finding in json.loads(body)["findings"]:
        found.setdefault(finding["service"], set()).add(finding["kind"])
    return found


EXPECTED = {f"s{number}": {BROKEN[way]} for number, way in enumerate(WAYS) if way in BROKEN}


def context() -> dict[str, str]:
    """What a client sends that has a trace of its own."""
    parent = f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"
    return {"traceparent": parent, "tracestate": "client=1", "baggage": "tenant=7"}


async def one_after_the_other(services: Town) -> None:
    for turn in range(ROUNDS):
        for number in range(len(WAYS)):
            url = f"http://127.0.0.1:{services.gate}/s{number}/{1 + turn % 2}"
            await services.fetch(url, context() if turn % 3 == 0 else {})
    await services.export()


async def at_once(services: Town, clients: int, each: int) -> None:
    async def client(first: int) -> None:
        for number in range(each):
            url = f"http://127.0.0.1:{services.gate}/s{(first * 7 + number) % len(WAYS)}/1"
            await services.fetch(url, {})

    await asyncio.gather(*(client(first) for first in range(clients)))
    await services.export()


def test_every_broken_service_is_named_and_no_sound_one(place: tuple[Gateway, Town]) -> None:
    hub, services = place
    services.run(one_after_the_other(services))
    services.run(at_once(services, 4, 20))
    try:
        until(lambda: diagnosed(hub) == EXPECTED, 30)
    finally:
        assert diagnosed(hub) == EXPECTED


def test_no_sound_service_is_named_while_many_ask(place: tuple[Gateway, Town]) -> None:
    hub, services = place
    services.run(at_once(services, 32, 60))

    def said() -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(hub.ask("/api/doctor")[2])
        return answer

    while said()["checked"]["spans"] <= 2000:  # as much as it takes, however slow the machine is
        services.run(at_once(services, 32, 60))
    assert {finding["service"] for finding in said()["findings"]} <= EXPECTED.keys()


def test_a_finding_names_traces_that_can_be_looked_at(place: tuple[Gateway, Town]) -> None:
    hub, _ = place
    for finding in json.loads(hub.ask("/api/doctor")[2])["findings"]:
        assert 0 < finding["confidence"] <= 1 and finding["remedy"] and finding["summary"]
        found = [hub.ask(f"/api/traces/{trace}")[0] for trace in finding["evidence"]]
        assert 200 in found
