"""Limits that gateways share by a real redis-server, which is killed, frozen and started again."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator

import pytest

from proxy.server.redis import Redis
from tests.harness import Backend, Gateway, gateway, routes
from tests.ports import free_port

SERVER = shutil.which("redis-server") or shutil.which("valkey-server") or ""
pytestmark = pytest.mark.skipif(not SERVER, reason="redis-server is not installed")
NS = 1_000_000_000


class Server:
    """A redis-server of a test's own."""

    def __init__(self, port: int, *more: str) -> None:
        self.port = port
        self.url = f"redis://127.0.0.1:{port}"
        self._more = more
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        said = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *self._more]
        self._process = subprocess.Popen([SERVER, *said], stdout=subprocess.DEVNULL)
        await until(self._answers)

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def ask(self, *words: str) -> bytes:
        """The first line of the reply."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write((" ".join(words) + "\r\n").encode())
        line = await reader.readline()
        writer.close()
        return line

    async def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return bool(await self.ask("PING"))
        return False


async def until(condition: object) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server(free_port())
    await made.start()
    yield made
    made.kill()


def is_connected(gate: Gateway) -> object:
    async def answers() -> bool:
        redis = gate.worker.limiter._redis
        assert redis is not None
        redis.patience = 0.9  # whatever else the machine does
        return redis._ready

    return answers


def shared(backend: Backend, server: Server, down: str = "local", rate: str = "") -> str:
    rate = rate or '{ limit = "2/h", key = "header:x-key", scope = "shared" }'
    redis = f'[redis]\nurl = "{server.url}"\nwhen_down = "{down}"'
    return routes(backend, redis, f"rate = {rate}")


def fallbacks(gate: Gateway, down: str) -> int:
    labels = (
        ("spangate.rate_limit", "2/h by header:x-key"),
        ("spangate.route", "all"),
        ("spangate.when_down", down),
    )
    return gate.worker.recorder.registry.number("spangate.rate_limit.fallbacks", labels).value


async def statuses(gate: Gateway, number: int, key: str = "a") -> list[int]:
    return [(await gate.get("/", f"X-Key: {key}")).status for _ in range(number)]


async def test_two_gateways_count_together(server: Server) -> None:
    async with Backend() as backend:
        config = shared(backend, server)
        async with gateway(config) as one, gateway(config) as other:
            await until(is_connected(one))
            await until(is_connected(other))
            assert await statuses(one, 1) == [200]
            assert await statuses(other, 2) == [200, 429]
            assert await statuses(one, 1) == [429]
            assert await statuses(one, 1, "b") == [200]
            assert b"0" not in await server.ask("DBSIZE")


async def test_a_body_that_came_meanwhile_is_sent(server: Server) -> None:
    async with Backend() as backend, gateway(shared(backend, server)) as gate:
        await until(is_connected(gate))
        for _ in range(2):  # the second on a warm connection
            sent = b"POST / HTTP/1.1\r\nHost: x\r\nX-Key: a\r\nContent-Length: 5\r\n"
            told = await gate.exchange(sent + b"Connection: close\r\n\r\nhello")
            assert told.startswith(b"HTTP/1.1 200")


async def test_a_server_that_forgot_the_script(server: Server) -> None:
    async with Backend() as backend, gateway(shared(backend, server)) as gate:
        await until(is_connected(gate))
        await server.ask("SCRIPT", "FLUSH")
        assert await statuses(gate, 3) == [200, 200, 429]
        assert fallbacks(gate, "local") == 0


@pytest.mark.parametrize(
    ("down", "wanted"),
    [("local", [200, 200, 429]), ("open", [200, 200, 200]), ("closed", [429, 429, 429])],
)
async def test_killed_and_started_again(server: Server, down: str, wanted: list[int]) -> None:
    async with Backend() as backend, gateway(shared(backend, server, down)) as gate:
        await until(is_connected(gate))
        assert await statuses(gate, 3, "before") == [200, 200, 429]
        server.kill()
        assert await statuses(gate, 3) == wanted
        assert fallbacks(gate, down) == 3
        await server.start()
        await until(is_connected(gate))
        assert await statuses(gate, 3, "after") == [200, 200, 429]
        assert fallbacks(gate, down) == 3


async def test_a_server_that_hangs_is_not_waited_for(server: Server) -> None:
    async with Backend() as backend, gateway(shared(backend, server, "open")) as gate:
        await until(is_connected(gate))
        server.signal(signal.SIGSTOP)
        async with asyncio.timeout(15):
            assert await statuses(gate, 20) == [200] * 20
        assert fallbacks(gate, "open") == 20
        server.signal(signal.SIGCONT)


async def test_a_client_that_leaves_while_it_waits(server: Server) -> None:
    async with Backend() as backend, gateway(shared(backend, server, "closed")) as gate:
        await until(is_connected(gate))
        server.signal(signal.SIGSTOP)
        client = await gate.connect()
        client.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.vanish()
        server.signal(signal.SIGCONT)
        assert (await statuses(gate, 3, "z"))[-1] == 429


async def test_a_password_and_a_database() -> None:
    server = Server(free_port(), "--requirepass", "s3cret")
    await server.start()
    try:
        redis = Redis(f"redis://:s3cret@127.0.0.1:{server.port}/3")
        redis.open()

        async def ready() -> bool:
            return redis._ready

        await until(ready)
        answer: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        redis.ask(b"k", NS, 0, answer.set_result)
        assert await answer == 0
        redis.close()
    finally:
        server.kill()


async def test_a_server_that_speaks_something_else() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    port = free_port()
    other = await asyncio.start_server(serve, "127.0.0.1", port)
    redis = Redis(f"redis://127.0.0.1:{port}")
    redis.open()

    async def left() -> bool:
        return redis._failures > 1

    await until(left)
    answers: list[int | None] = []
    redis.ask(b"k", NS, 0, answers.append)
    assert answers == [None]
    redis.close()
    other.close()
    await asyncio.sleep(0)
