"""Farewell: what could not be delivered when exporters stop, said once for each of them, and why.

Counting is done in the books, where nobody looks any more when a process has ended.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Protocol

from proxy.collector.batch import SIGNALS
from proxy.collector.books import Shelf, Standing
from proxy.collector.condition import Condition
from proxy.otlp.partial import amount

log = logging.getLogger("spangate")

LOST = ("shutdown", "internal_error")  # reasons for which a stop drops
NO_TIME = "the time to stop was over"


class Leaving(Protocol):
    """A stage with books, as the graph has it."""

    @property
    def condition(self) -> Condition: ...
    @property
    def shelf(self) -> Shelf | None: ...


class Farewell:
    """Made before the stop, so that only what is lost by it is told."""

    def __init__(self, stages: Iterable[Leaving]) -> None:
        self._before = [(stage, _lost(stage)) for stage in stages if stage.shelf is not None]

    def say(self) -> None:
        for stage, before in self._before:
            lost = {signal: n - before.get(signal, 0) for signal, n in _lost(stage).items()}
            if any(lost.values()):
                condition = stage.condition
                why = condition.error if condition.troubled else NO_TIME
                log.warning(
                    "%s: %s not delivered: %s",
                    condition.title,
                    _amounts(lost),
                    why,
                    extra={"key": "component.not_delivered"},
                )


def cut_short(standings: Iterable[Standing], why: str) -> None:
    """The same of books whose collector is gone, or has no time for a stop."""
    queued: dict[str, dict[str, int]] = {}
    for book in standings:
        if book.queued:
            queued.setdefault(book.exporter, {})[book.signal] = book.queued
    for exporter, amounts in queued.items():
        log.warning(
            "exporter %s: %s not delivered: %s",
            exporter,
            _amounts(amounts),
            why,
            extra={"key": "exporter.not_delivered"},
        )


def _lost(stage: Leaving) -> dict[str, int]:
    return {
        signal: sum(ledger.dropped.get(reason, 0) for reason in LOST)
        for signal, ledger in (stage.shelf or {}).items()
    }


def _amounts(items: Mapping[str, int]) -> str:
    return ", ".join(amount(items[signal], signal) for signal in SIGNALS if items.get(signal))
