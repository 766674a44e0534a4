"""Settings of the Kafka exporter; names and defaults of the OpenTelemetry Collector's."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.collector.kafka.settings import (
    Encoding,
    Sasl,
    check_brokers,
    check_connection,
    check_topics,
)
from proxy.collector.parts import Problems, Queue, Retry, TlsClient, check_queue
from proxy.config.section import Section
from proxy.config.units import Seconds, Size

LEAST = 4096  # bytes of a message, below which a resource would not fit


class Settings(Section, frozen=True):
    """[collector.exporters.kafka]"""

    # "host:port" of some of them
    brokers: list[str] = field(default_factory=lambda: ["localhost:9092"])
    client_id: str = "otel-collector"  # by which brokers know us
    traces_topic: str = "otlp_spans"  # where traces go
    metrics_topic: str = "otlp_metrics"  # where metrics go
    logs_topic: str = "otlp_logs"  # where logs go
    profiles_topic: str = "otlp_profiles"  # where profiles go
    encoding: Encoding = "otlp_proto"  # of the messages
    partition_traces_by_id: bool = False  # a message for each trace, its id as the key
    required_acks: Literal[0, 1, -1] = 1  # none, the leader, all in-sync replicas
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"  # of the messages
    max_message_bytes: Size = Size(1_000_000)  # requests that are larger are split
    headers: dict[str, str] = field(default_factory=dict)  # of each message
    tls: TlsClient | None = None  # an empty table: TLS with the system's certificates
    sasl: Sasl | None = None
    timeout: Seconds = Seconds(10)  # for one attempt
    retry_on_failure: Retry = field(default_factory=Retry)
    sending_queue: Queue = field(default_factory=Queue)

    @property
    def topics(self) -> dict[str, str]:
        """By signal."""
        return {
            "traces": self.traces_topic,
            "metrics": self.metrics_topic,
            "logs": self.logs_topic,
            "profiles": self.profiles_topic,
        }

    def problems(self) -> Problems:
        yield from check_brokers(self.brokers)
        yield from check_connection(self.tls)
        yield from check_queue("sending_queue", self.sending_queue)
        yield from check_topics({f"{signal}_topic": t for signal, t in self.topics.items()})
        if self.max_message_bytes < LEAST:
            yield ("max_message_bytes",), "too small for a message", 'write "1MB"'
        if not self.timeout:
            yield ("timeout",), "an attempt cannot last for ever", 'write "10s"'
