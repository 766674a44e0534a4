"""How Kafka is spoken: the library aiokafka, its arguments, and what its errors mean here."""

from __future__ import annotations

from typing import Any

from proxy.collector.kafka import client
from proxy.collector.kafka.settings import Sasl
from proxy.collector.parts import TlsClient
from proxy.config.messaging_model import Kafka
from proxy.config.syntax import parse_address
from proxy.messaging.message import NotWritten, Place

CONNECT = 10.0  # seconds for all of connecting
CLOSING = 2.0  # seconds for telling the broker that we go

# by the word for the error: the status of the answer
_STATUSES = {
    "kafka_message_size_too_large": 413,
    "kafka_record_too_large": 413,
    "kafka_unknown_topic_or_partition": 404,
    "kafka_invalid_topic": 400,
}
_LATE = frozenset({"kafka_kafka_timeout", "kafka_request_timed_out", "kafka_timeout", "timeout"})
# "kafka_kafka" is what aiokafka says when no broker has told it of the cluster.
_AWAY = frozenset({"kafka_kafka", "kafka_kafka_connection", "kafka_producer_closed"})


def place(settings: Kafka) -> Place:
    """The first broker: which of them leads is not the client's to know."""
    host, port = parse_address(settings.brokers[0])
    return Place("kafka", host.strip("[]"), port)


def arguments(settings: Kafka) -> dict[str, Any]:
    """Of producers and consumers; raises OSError for files that cannot be used."""
    tls = TlsClient(ca=settings.ca) if settings.tls else None
    sasl = None
    if settings.user:
        sasl = Sasl(
            username=settings.user, password=settings.password, mechanism=settings.mechanism
        )
    security = client.security(tls, sasl)
    return {"bootstrap_servers": list(settings.brokers), "client_id": "spangate", **security}


def not_written(error: BaseException) -> NotWritten:
    """What it means for whoever wanted a message to be written."""
    reason = client.reason(error)
    text = str(error) or type(error).__name__
    if reason in _LATE or isinstance(error, TimeoutError):
        return NotWritten(504, "timeout", "the broker has not acknowledged it in time")
    if reason in _AWAY:
        return NotWritten(503, "broker_unavailable", f"no broker can be reached: {text}")
    if client.is_retriable(error):
        return NotWritten(503, reason, f"no broker takes it now: {text}")
    return NotWritten(_STATUSES.get(reason, 502), reason, text)
