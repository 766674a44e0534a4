"""What is rare about an attempt, and counted or judged when it is recorded."""

from __future__ import annotations

from proxy.telemetry import instruments
from proxy.telemetry.blocks import GONE, RouteBlocks
from proxy.telemetry.facts import ASIDE, Attempt, Exchange
from proxy.telemetry.metrics import Registry


def count_retry(registry: Registry, route: RouteBlocks, attempt: Attempt) -> None:
    """One that follows another; what is asked beside a request does not."""
    if attempt.retry_reason == ASIDE:
        return
    attributes = (
        ("spangate.route", route.name),
        ("spangate.upstream", attempt.upstream),
        ("spangate.retry.reason", attempt.retry_reason),
    )
    registry.number(instruments.RETRIES, attributes).value += 1


def is_cut(exchange: Exchange, attempt: Attempt) -> bool:
    """Did the attempt end because the client left, and not by a fault or error of its own?"""
    last = exchange.attempts[len(exchange.attempts) - 1]
    return attempt is last and attempt.status < 400 and attempt.error in ("", GONE)
