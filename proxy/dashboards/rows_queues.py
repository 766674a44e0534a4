"""The row about message queues, for gateways that publish or consume."""

from __future__ import annotations

from proxy.config.model import Config
from proxy.dashboards.asked import durations, one, rate, whole
from proxy.dashboards.panels import Panel, Row, graph

_TOPIC = "spangate_consumer, messaging_destination_name"
_OF_TOPIC = "{{spangate_consumer}} {{messaging_destination_name}}"
# Of streams each member of a group tells the lag of all: the largest counts once.
_PARTITION = f"{_TOPIC}, messaging_destination_partition_id"
_LAG = f"sum by ({_TOPIC}) ({whole('spangate_consumer_lag', _PARTITION, 'max')})"
_SENT = "messaging_client_sent_messages_total"
_GROUP = "messaging_consumer_group_name"
_PROCESSED = "messaging_process_duration_seconds"


def queues(config: Config) -> Row | None:
    """What is published, and what is consumed; None where there is nothing of it."""
    panels: tuple[Panel, ...] = ()
    if any(route.publish is not None for route in config.route):
        panels += _published()
    if config.consume:
        panels += _consumed()
    return Row("Message queues", panels) if panels else None


def _published() -> tuple[Panel, ...]:
    failed = rate(_SENT, "error_type", 'error_type!=""')
    return (
        one("Published", rate(_SENT, "messaging_system"), "{{messaging_system}}", "ops"),
        one(
            "Not published, share",
            f"{failed} / ignoring (error_type) group_left {rate(_SENT)}",
            "{{error_type}}",
            "percentunit",
            "Dead letters are among those that are published.",
        ),
        graph(
            "Until brokers acknowledge",
            *durations("messaging_client_operation_duration_seconds", ""),
            unit="s",
        ),
    )


def _consumed() -> tuple[Panel, ...]:
    return (
        one(
            "Lag of consumers",
            _LAG,
            _OF_TOPIC,
            what="Messages that a group has not processed, of the partitions of these gateways.",
        ),
        one("Processed", rate(f"{_PROCESSED}_count", _GROUP), f"{{{{{_GROUP}}}}}", "ops"),
        graph("Until messages are processed", *durations(_PROCESSED, _GROUP), unit="s"),
        one(
            "Tried again",
            rate("spangate_consumer_retries_total", f"{_TOPIC}, error_type"),
            f"{_OF_TOPIC} {{{{error_type}}}}",
            "ops",
        ),
        one(
            "Dead letters",
            rate("spangate_consumer_dead_letters_total", f"{_TOPIC}, error_type"),
            f"{_OF_TOPIC} {{{{error_type}}}}",
            "ops",
        ),
    )
