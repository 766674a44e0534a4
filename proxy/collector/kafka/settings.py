"""Tables that Kafka's receiver and exporter share."""

from __future__ import annotations

from typing import Literal

from proxy.collector.parts import Problems, TlsClient, check_address, check_tls
from proxy.config.section import Section

Encoding = Literal["otlp_proto", "otlp_json"]


class Sasl(Section, frozen=True):
    """auth.sasl of the OpenTelemetry Collector."""

    username: str  # of the broker's users
    password: str  # its password, never shown
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"  # how it is proved


def check_brokers(brokers: list[str]) -> Problems:
    if not brokers:
        yield ("brokers",), "at least one broker is needed", 'write ["localhost:9092"]'
    for broker in brokers:
        yield from check_address("brokers", broker)


def check_connection(tls: TlsClient | None) -> Problems:
    if tls is not None:
        yield from check_tls("tls", tls)


def check_topics(topics: dict[str, str]) -> Problems:
    for key, topic in topics.items():
        if not topic or len(topic) > 249 or not _is_topic(topic):
            yield (key,), f"{topic!r} is not a topic", "1 to 249 of a-z A-Z 0-9 . _ -"


def _is_topic(text: str) -> bool:
    plain = text.replace(".", "").replace("_", "").replace("-", "")
    return text not in (".", "..") and text.isascii() and (plain.isalnum() or not plain)
