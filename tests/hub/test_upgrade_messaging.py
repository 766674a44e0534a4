"""An upgrade of a gateway with queues: what is published is answered, what is consumed arrives."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.collector.tansu import Broker, tansu
from tests.hub.gateway import DEADLINE, children, until
from tests.hub.test_bus import CONFIG, MODULE
from tests.hub.upgrades import Crowd, Followed, followed, gone
from tests.messaging.kit import Upstream, consumer


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with tansu() as running:
        await running.topic("orders")
        yield running


class Publishers:
    """Each message once, and what was said of it."""

    def __init__(self, port: int) -> None:
        self.acknowledged: list[bytes] = []
        self._port = port
        self._numbers = itertools.count()

    def keeps_alive(self) -> Callable[[], None]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE)
        return lambda: self._publish(connection)

    def comes_anew(self) -> Callable[[], None]:
        def once() -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE)
            self._publish(connection)
            connection.close()

        return once

    def _publish(self, connection: http.client.HTTPConnection) -> None:
        body = b"%d" % next(self._numbers)
        connection.request("POST", "/topics/orders", body)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise OSError(f"{answer.status} {text!r}")
        self.acknowledged.append(body)


def folders(pids: list[int]) -> list[str]:
    base = os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("TMPDIR") or "/tmp"
    found = (f"{base}/spangate-{os.getuid()}-{pid}" for pid in pids)
    return [folder for folder in found if os.path.exists(folder)]


@pytest.mark.timeout(300)
async def test_nothing_is_lost_and_nobody_is_left_without_an_answer(
    tmp_path: Path, broker: Broker
) -> None:
    async with Upstream() as upstream:
        text = CONFIG.format(broker=broker.address, more=consumer(upstream.url, "concurrency = 4"))
        text = text.replace('drain_timeout = "5s"', 'drain_timeout = "60s"')

        def run() -> list[bytes]:
            with followed(tmp_path, text) as hub:
                told = Publishers(hub.port)
                with Crowd(told.keeps_alive, told.comes_anew) as crowd:
                    until(lambda: len(upstream.got) > 5)
                    for _ in range(2):
                        _one_upgrade(hub, crowd)
                assert crowd.wrong == []
                sent = set(told.acknowledged)
                until(lambda: sent <= set(upstream.bodies), 60.0)
                os.kill(hub.pid, signal.SIGTERM)
                until(lambda: gone(hub.pid))
                assert folders(hub.pids) == []
                assert not [line for line in hub.lines if "Traceback" in line]
            return told.acknowledged

        sent = await asyncio.to_thread(run)
        assert set(upstream.bodies) == set(sent)
        assert await broker.committed("billing", "orders") == len(sent)


def _one_upgrade(hub: Followed, crowd: Crowd) -> None:
    """Until the old one has ended, and the new one alone has a process of queues."""
    old = hub.pid
    (before,) = children(old, MODULE)
    hub.upgrade()
    until(lambda: gone(before) and gone(old))
    assert len(until(lambda: children(hub.pid, MODULE))) == 1
    seen = crowd.answered
    until(lambda: crowd.answered > seen + 20 or crowd.wrong)
