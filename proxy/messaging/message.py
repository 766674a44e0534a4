"""A message before and after its broker, and what a broker's client does for us.

Every kind of queue implements `Producer` and `Consumer`; nobody else knows which kind it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

Headers = Sequence[tuple[str, bytes]]
Part = tuple[str, int | None]  # topic, partition


def placed(partition: int | None, offset: int | str) -> list[tuple[str, str | int]]:
    """Where a message is, as attributes of spans."""
    if isinstance(offset, str):
        return [("messaging.message.id", offset)]
    where: list[tuple[str, str | int]] = [("messaging.kafka.offset", offset)]
    if partition is not None:
        where.append(("messaging.destination.partition.id", str(partition)))
    return where


@dataclass(frozen=True, slots=True)
class Message:
    """One to be written. `value` None = a tombstone; `key` None = none."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()

    @property
    def size(self) -> int:
        """Bytes, without what the broker adds."""
        headers = sum(len(name.encode()) + len(value) for name, value in self.headers)
        return len(self.value or b"") + len(self.key or b"") + headers


@dataclass(frozen=True, slots=True)
class Written:
    """Where the broker has put it. Kafka's offset is a number, that of Redis an entry's id."""

    partition: int | None
    offset: int | str

    def pairs(self) -> list[tuple[str, str | int]]:
        """As attributes of its span."""
        return placed(self.partition, self.offset)


class NotWritten(Exception):
    """The broker has not acknowledged it. `status`: of the answer; `reason`: error.type."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """One that was read, and is to be acknowledged."""

    topic: str
    partition: int | None
    offset: int | str
    key: bytes | None
    value: bytes | None
    headers: Headers
    time: int = 0  # Unix ms, 0 = not known


@dataclass(frozen=True, slots=True)
class Place:
    """How a queue is called in spans and metrics."""

    system: str  # messaging.system: "kafka", "redis"
    address: str  # server.address
    port: int


class Producer(Protocol):
    """Writes; it connects by itself, and again."""

    @property
    def place(self) -> Place: ...
    async def send(
        self, topic: str, messages: Sequence[Message], fixed: bool
    ) -> list[Written | NotWritten]:
        """Write them in their order; an outcome for each. `fixed`: the topic is the
        configuration's, and may be made by the broker; another one must exist."""

    async def stop(self, seconds: float) -> None:
        """End within so long."""


class Gone(Protocol):
    """Told of partitions that another member of the group has now."""

    async def revoked(self, partitions: frozenset[Part]) -> None:
        """End what is under way of them; what is acknowledged until then is committed."""


class Consumer(Protocol):
    """Reads as a member of a group; it connects by itself, and again."""

    gone: Gone | None

    @property
    def place(self) -> Place: ...
    async def take(self, most: int, seconds: float) -> list[Taken]:
        """The next ones, at most so many, in their order; [] after `seconds`. With 0 for `most` it
        only shows that we live. Raises OSError where there is no broker, after waiting a little."""

    def done(self, taken: Taken) -> None:
        """It was processed, and need not be read again."""

    async def commit(self) -> None:
        """Tell the broker what is done; what fails is told with the next one."""

    async def lag(self) -> Mapping[Part, int]:
        """By topic and partition: messages that are not done. Raises OSError where the broker does
        not answer, which is told of nowhere else by libraries that go on trying."""

    async def stop(self, seconds: float) -> None:
        """Commit, and leave the group."""
