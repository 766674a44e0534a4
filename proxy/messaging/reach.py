"""Whether brokers of Kafka can be reached, and what is in the way: aiokafka tells it to nobody."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from typing import Any

from proxy import tasks
from proxy.config.syntax import parse_address

REACHED = 1.0  # seconds that a broker has to take a connection

Place = tuple[str, int]  # host, port


async def is_any(places: Iterable[Place]) -> bool:
    """Whether any of them takes a connection."""
    looks = [tasks.spawn(_look(host, port), "look at a broker") for host, port in places]
    return "" in await asyncio.gather(*looks)


async def why(library: Any, brokers: Sequence[str], error: BaseException) -> str:
    """What to tell people of an error in connecting to these."""
    if not isinstance(error, _unheard(library)):
        return str(error) or type(error).__name__
    told = []
    for broker in brokers:
        found = await _look(*parse_address(broker))
        told.append(f"{broker} {found or 'takes connections, but does not answer as Kafka does'}")
    remedy = "`tls` and `user`" if all("takes" in one for one in told) else "whether they run"
    return f"{'; '.join(told)}: look at `brokers`, and {remedy}"


def _unheard(library: Any) -> tuple[type[BaseException], ...]:
    """Errors that say no more than that there was no answer."""
    errors = library.errors
    return (
        TimeoutError,
        errors.KafkaConnectionError,
        errors.KafkaTimeoutError,
        errors.NodeNotReadyError,
        errors.RequestTimedOutError,
        errors.StaleMetadata,
    )


async def _look(host: str, port: int) -> str:
    """What is wrong with it; "" = it takes a connection."""
    try:
        async with asyncio.timeout(REACHED):
            _, writer = await asyncio.open_connection(host.strip("[]"), port)
    except TimeoutError:
        return "does not answer"
    except socket.gaierror:
        return "is not found"
    except ConnectionRefusedError:
        return "refuses connections: nobody listens there"
    except OSError as error:
        return f"cannot be reached: {error.strerror or error}"
    writer.close()
    return ""
