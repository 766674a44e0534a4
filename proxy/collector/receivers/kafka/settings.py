"""Settings of the Kafka receiver; names and defaults of the OpenTelemetry Collector's."""

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
from proxy.collector.parts import Problems, TlsClient
from proxy.config.section import Section
from proxy.config.units import Seconds, Size

MIB = 1024 * 1024


class Autocommit(Section, frozen=True):
    """When it is told to the broker how far we are."""

    enable: bool = True  # false: after each handful of messages
    interval: Seconds = Seconds(1)  # from one to the next


class MessageMarking(Section, frozen=True):
    """From when on a message counts as read."""

    after: bool = True  # when a pipeline took it; false: when it arrived, and it may be lost


class HeaderExtraction(Section, frozen=True):
    """Headers of messages as resource attributes kafka.header.NAME."""

    extract_headers: bool = False  # whether they become attributes of the resource
    headers: list[str] = field(default_factory=list)  # which ones


class Settings(Section, frozen=True):
    """[collector.receivers.kafka]"""

    # "host:port" of some of them
    brokers: list[str] = field(default_factory=lambda: ["localhost:9092"])
    client_id: str = "otel-collector"  # by which brokers know us
    group_id: str = "otel-collector"  # receivers of one group share the partitions
    initial_offset: Literal["latest", "earliest"] = "latest"  # for a group that is new
    traces_topic: str = "otlp_spans"  # read if a pipeline takes traces from this receiver
    metrics_topic: str = "otlp_metrics"  # where metrics are read from
    logs_topic: str = "otlp_logs"  # where logs are read from
    profiles_topic: str = "otlp_profiles"  # where profiles are read from
    encoding: Encoding = "otlp_proto"  # of the messages
    # without a heartbeat, after which others take our partitions
    session_timeout: Seconds = Seconds(10)
    heartbeat_interval: Seconds = Seconds(3)  # from one to the next
    max_fetch_size: Size = Size(MIB)  # of one answer, which is what waits here at most
    max_partition_fetch_size: Size = Size(MIB)  # of one partition in one answer
    max_fetch_wait: Seconds = Seconds(0.25)  # how long a broker may wait for enough
    autocommit: Autocommit = field(default_factory=Autocommit)
    message_marking: MessageMarking = field(default_factory=MessageMarking)
    header_extraction: HeaderExtraction = field(default_factory=HeaderExtraction)
    tls: TlsClient | None = None
    sasl: Sasl | None = None

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
        yield from check_topics({f"{signal}_topic": t for signal, t in self.topics.items()})
        if len(set(self.topics.values())) < len(self.topics):
            message = "messages do not tell their signal, so each signal needs its topic"
            yield ("traces_topic",), message, "give them different names"
        if not self.group_id:
            yield ("group_id",), "a consumer group needs a name", 'write "otel-collector"'
        if self.heartbeat_interval >= self.session_timeout:
            message = "it must be shorter than `session_timeout`"
            yield ("heartbeat_interval",), message, "a third of it"
        if not self.max_fetch_size or not self.max_partition_fetch_size:
            yield ("max_fetch_size",), "what waits here cannot be unlimited", 'write "1MiB"'
