"""What Kafka's receiver and exporter share: the library, how to connect, and what errors mean.

The library, aiokafka, is an optional extra, so it is imported here when a configuration names
Kafka and nowhere else.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import re
from itertools import chain
from typing import Any

from proxy import tasks
from proxy.collector.kafka.settings import Sasl
from proxy.collector.parts import TlsClient
from proxy.errors import ConfigError, Problem
from proxy.otlp.transport import Options, ssl_context

_CUT = 0.5  # seconds for what goes on after all connections are gone
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")


def library() -> Any:
    """The module `aiokafka`; raises ConfigError that says what to install."""
    try:
        found = importlib.import_module("aiokafka")
    except ImportError as error:
        remedy = 'pip install "spangate[kafka]"'
        raise ConfigError([Problem("", f"Kafka needs aiokafka: {error}", remedy)]) from None
    # It logs each attempt at each broker, several a second in an outage; conditions tell of that.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").addFilter(_is_news)
    return found


def _is_news(record: logging.LogRecord) -> bool:
    """Not of a connection that was reset and that nobody waits for any more: its protocol reads
    that, unless the collector of cycles comes to the future before (asyncio/streams.py)."""
    error = record.exc_info[1] if record.exc_info else None
    is_lost = isinstance(error, ConnectionError)
    return not (is_lost and record.getMessage().startswith("Future exception was never retrieved"))


def security(tls: TlsClient | None, sasl: Sasl | None) -> dict[str, Any]:
    """Arguments of a producer or consumer; raises OSError for files that cannot be used."""
    made: dict[str, Any] = {}
    if tls is not None:
        options = Options(
            ca=tls.ca, cert=tls.cert, key=tls.key, verify=not tls.insecure_skip_verify
        )
        made["ssl_context"] = ssl_context(options)
    if sasl is not None:
        made["sasl_mechanism"] = sasl.mechanism
        made["sasl_plain_username"] = sasl.username
        made["sasl_plain_password"] = sasl.password
    names = {(0, 0): "PLAINTEXT", (1, 0): "SSL", (0, 1): "SASL_PLAINTEXT", (1, 1): "SASL_SSL"}
    made["security_protocol"] = names[tls is not None, sasl is not None]
    return made


def reason(error: BaseException) -> str:
    """A word for the books: kafka_topic_authorization_failed."""
    name = type(error).__name__.removesuffix("Error").removesuffix("Exception")
    return f"kafka_{_WORDS.sub('_', name).lower()}"


def is_retriable(error: BaseException) -> bool:
    """Whether the same may succeed later: as Kafka's protocol marks its codes, and all of the
    network's."""
    return isinstance(error, OSError | TimeoutError) or bool(getattr(error, "retriable", False))


async def finish_producer(producer: Any, seconds: float) -> None:
    """Close everything within `seconds` and a little, whether the broker answers or not."""
    stopping = tasks.spawn(producer.stop(), "stop a Kafka producer")
    await asyncio.wait([stopping], timeout=seconds)
    if not stopping.done():
        # aiokafka 0.14 waits for its requests; without their connections they end.
        _give_up(producer._message_accumulator)
        if (sender := producer._sender.sender_task) is not None:
            sender.cancel()
        await _cut(producer.client, stopping)


def has_ended(producer: Any) -> bool:
    """Whether aiokafka 0.14 sends nothing any more: a fault ends its only task for that."""
    task = producer._sender.sender_task
    return task is not None and task.done()


def _give_up(accumulator: Any) -> None:
    """Fail what is queued. aiokafka leaves each batch's drain waiter with an exception that nobody
    reads unless a sender waited for room, and asyncio tells of that as of a fault."""
    failed = [*accumulator._pending_batches, *chain(*accumulator._batches.values())]
    accumulator.fail_all(library().errors.KafkaConnectionError("the connection is given up"))
    for batch in failed:
        if batch._drain_waiter.done() and not batch._drain_waiter.cancelled():
            batch._drain_waiter.exception()


async def finish_consumer(consumer: Any, seconds: float) -> None:
    """As `finish_producer`; the group is left if there is time."""
    stopping = tasks.spawn(consumer.stop(), "stop a Kafka consumer")
    await asyncio.wait([stopping], timeout=seconds)
    if not stopping.done():
        await _cut(consumer._client, stopping)
        # aiokafka 0.14 ends one part after the other, so that what was cut off has left the rest.
        coordinator, fetcher = consumer._coordinator, consumer._fetcher
        await tasks.cancel(*_tasks(coordinator), *_tasks(fetcher), *_pending(fetcher))


def _tasks(part: Any) -> list[asyncio.Task[Any]]:
    """Those that are attributes of it; of a consumer that never started there are no parts."""
    values = vars(part).values() if part is not None else ()
    return [value for value in values if isinstance(value, asyncio.Task)]


def _pending(fetcher: Any) -> list[asyncio.Task[Any]]:
    return list(getattr(fetcher, "_pending_tasks", ()))


async def _cut(client: Any, stopping: asyncio.Task[None]) -> None:
    await client.close()
    await asyncio.wait([stopping], timeout=_CUT)
    await tasks.cancel(stopping)
