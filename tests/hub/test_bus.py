"""The process of queues under a hub: started when it is needed, killed, reloaded, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.collector.tansu import Broker, tansu
from tests.hub.gateway import DEADLINE, Gateway, children, gateway, until
from tests.messaging.kit import Upstream, consumer

CONFIG = """
listen = "127.0.0.1:0"
drain_timeout = "5s"
[admin]
listen = "127.0.0.1:0"
[messaging.kafka.bus]
brokers = ["{broker}"]
[[route]]
path = "/topics/{{topic}}"
publish = {{ to = "bus", topic = "{{topic}}" }}
[[route]]
path = "/ping"
respond = "pong"
{more}
"""
MODULE = "proxy.messaging"


@pytest.fixture
async def broker() -> AsyncIterator[Broker]:
    async with tansu() as running:
        await running.topic("orders")
        yield running


def post(hub: Gateway, body: bytes) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=DEADLINE)
    try:
        connection.request("POST", "/topics/orders", body)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text)
    finally:
        connection.close()


async def beside(work: Callable[..., Any], *arguments: Any) -> Any:
    """A hub is asked by a thread: broker and upstream have this loop."""
    return await asyncio.to_thread(work, *arguments)


async def test_a_gateway_without_queues_has_no_such_process(tmp_path: Path) -> None:
    text = CONFIG.format(broker="127.0.0.1:9092", more="").replace(
        'publish = { to = "bus", topic = "{topic}" }', 'respond = "none"'
    )

    def run() -> None:
        with gateway(tmp_path, text, workers=1) as hub:
            assert hub.get("/ping") == "pong"
            assert not children(hub.process.pid, MODULE)

    await beside(run)


async def test_it_is_replaced_when_it_dies(tmp_path: Path, broker: Broker) -> None:
    def run() -> None:
        with gateway(tmp_path, CONFIG.format(broker=broker.address, more=""), workers=1) as hub:
            assert post(hub, b"before")[0] == 200
            (before,) = children(hub.process.pid, MODULE)
            os.kill(before, signal.SIGKILL)
            until(lambda: before not in children(hub.process.pid))
            # what comes before the next one is there waits for it
            assert post(hub, b"after")[0] == 200
            (after,) = children(hub.process.pid, MODULE)
            assert after != before
            assert hub.get("/ping") == "pong"
            sent = "messaging_client_sent_messages_total"
            values = hub.values()
            assert sent in {name for name, _ in values}
            assert values["spangate_messaging_restarts_total", ()] == 1
            memory = ("process_memory_usage_bytes", (("spangate_process", "messaging"),))
            assert values[memory] > 10_000_000
            assert hub.end() == 0
            assert not [line for line in hub.lines if "Traceback" in line]

    await beside(run)
    records = await broker.read("orders", 2)
    assert [record.value for record in records] == [b"before", b"after"]


async def test_consumers_come_and_go_with_reloads(tmp_path: Path, broker: Broker) -> None:
    async with Upstream() as upstream:
        with_one = CONFIG.format(broker=broker.address, more=consumer(upstream.url))
        without = CONFIG.format(broker=broker.address, more="")
        lag = "spangate_consumer_lag"

        def run() -> None:
            with gateway(tmp_path, without, workers=1) as hub:
                assert post(hub, b"1")[0] == 200
                hub.rewrite(with_one)
                until(lambda: upstream.bodies == [b"1"])
                until(lambda: lag in {name for name, _ in hub.values()})
                (pid,) = children(hub.process.pid, MODULE)
                hub.rewrite(with_one.replace('path = "/in/{topic}"', 'path = "/other"'))
                until(lambda: hub.stats()["reloads"]["succeeded"] == 2, 2 * DEADLINE)
                assert post(hub, b"2")[0] == 200
                until(lambda: upstream.bodies == [b"1", b"2"])
                assert upstream.got[1][0] == "/other"
                hub.rewrite(without)
                until(lambda: hub.stats()["reloads"]["succeeded"] == 3, 2 * DEADLINE)
                assert post(hub, b"3")[0] == 200
                assert lag not in {name for name, _ in hub.values()}
                assert children(hub.process.pid, MODULE) == [pid]
                assert hub.end() == 0
            assert upstream.bodies == [b"1", b"2"]
            assert not [line for line in hub.lines if "Traceback" in line]

        await beside(run)


async def test_a_stop_ends_what_is_under_way_and_commits_it(tmp_path: Path, broker: Broker) -> None:
    async with Upstream() as upstream:
        stopped, came = asyncio.Event(), asyncio.Event()

        async def answer(body: bytes, tries: int) -> int:
            came.set()
            await stopped.wait()
            return 200

        upstream.answer = answer
        await broker.produce("orders", b"1")
        text = CONFIG.format(broker=broker.address, more=consumer(upstream.url))
        running = gateway(tmp_path, text, workers=1)
        hub = await beside(running.__enter__)
        try:
            await asyncio.wait_for(came.wait(), DEADLINE)
            hub.signal(signal.SIGTERM)
            await broker.produce("orders", b"2")  # nobody takes it any more
            stopped.set()
            assert await beside(hub.ended) == 0
        finally:
            await beside(running.__exit__, None, None, None)
        assert await broker.committed("billing", "orders") >= 1
        assert await broker.committed("billing", "orders") == len(upstream.got)


async def test_a_folder_of_somebody_else_is_not_used(tmp_path: Path) -> None:
    """Whoever can connect there could deliver messages past all checks."""
    text = CONFIG.format(broker="127.0.0.1:9092", more="")
    file = tmp_path / "routes.toml"
    file.write_text(text)

    def run() -> str:
        hub = Gateway(file, 1, (), -3)
        folder = Path(os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("TMPDIR") or "/tmp")
        folder = folder / f"spangate-{os.getuid()}-{hub.process.pid}"
        try:
            folder.mkdir(mode=0o777)
            folder.chmod(0o777)
            hub.ended()
            return "\n".join(hub.lines)
        finally:
            hub.close()
            folder.rmdir()

    assert "not this user's alone" in await beside(run)


async def test_it_is_replaced_for_workers_that_drain(tmp_path: Path, broker: Broker) -> None:
    async with Upstream() as upstream:
        text = CONFIG.format(broker=broker.address, more=consumer(upstream.url))
        text = text.replace('drain_timeout = "5s"', 'drain_timeout = "60s"')
        text += f'[[route]]\npath = "/through"\nto = "{upstream.url}"\n'

        def run() -> None:
            with gateway(tmp_path, text, workers=1) as hub:
                assert post(hub, b"1")[0] == 200
                until(lambda: upstream.bodies == [b"1"])
                (before,) = children(hub.process.pid, MODULE)
                with contextlib.closing(half_posted(hub, b"23")) as sock:
                    hub.signal(signal.SIGTERM)
                    until(lambda: hub.ask("/ready")[0] == 503)
                    os.kill(before, signal.SIGKILL)
                    until(lambda: set(children(hub.process.pid, MODULE)) - {before})
                    sock.sendall(b"3")
                    assert sock.recv(100).startswith(b"HTTP/1.1 204")
                assert hub.process.wait(30) == 0

        await beside(run)


def half_posted(hub: Gateway, body: bytes) -> socket.socket:
    """A connection on which all was sent but the last byte, and the worker has begun to read."""
    active = "http_server_active_requests"
    sock = socket.create_connection(("127.0.0.1", hub.port), timeout=30)
    head = f"POST /through HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    sock.sendall(head.encode() + b"\r\n" + body[:-1])
    until(lambda: sum(v for (name, _), v in hub.values().items() if name == active) > 0)
    return sock
