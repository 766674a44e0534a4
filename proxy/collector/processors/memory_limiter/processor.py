"""Processor `memory_limiter`: refuses while the process holds too much memory.

Above the soft limit (limit - spike) nothing is taken, and receivers tell their senders to come
again; above the hard limit the garbage collector runs as well. Memory is the resident set of the
whole process, looked at no more often than `check_interval` and only when something comes.
"""

from __future__ import annotations

import gc
import time

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.processors.memory_limiter.memory import resident, total
from proxy.collector.processors.memory_limiter.settings import Settings

MIB = 1024 * 1024
GC_PAUSE = 10.0  # seconds between two forced collections, which may take 100 ms each


class MemoryLimiter:
    """A Stage that holds nothing."""

    def __init__(self, settings: Settings, context: Context) -> None:
        self._next = context.next
        self._account = context.account
        self._condition = context.condition
        self._interval = settings.check_interval
        self.hard, self.soft = limits(settings)
        self._refusing = False
        self._look_at = 0.0
        self._collect_at = 0.0

    async def start(self) -> None:
        return None

    async def stop(self, deadline: float) -> None:
        return None

    def consume(self, batch: Batch) -> bool:
        now = time.monotonic()
        if now >= self._look_at:
            self._look(now)
        if self._refusing:
            self._account.refusal = "memory_limit"
            return False
        return self._next.consume(batch)

    def held(self, signal: Signal) -> int:
        return 0

    def _look(self, now: float) -> None:
        self._look_at = now + self._interval
        used = resident()
        if used > self.hard and now >= self._collect_at:
            self._collect_at = now + GC_PAUSE
            gc.collect()
            used = resident()
        self._refusing = used > self.soft
        if self._refusing:
            self._condition.warn(f"{used // MIB} MiB in use, refusing above {self.soft // MIB} MiB")
        else:
            self._condition.over("takes telemetry again")


def limits(settings: Settings) -> tuple[int, int]:
    """(hard, soft) in bytes."""
    if settings.limit_mib:
        hard = settings.limit_mib * MIB
        spike = settings.spike_limit_mib * MIB or hard // 5
    else:
        machine = total()
        hard = machine * settings.limit_percentage // 100
        spike = machine * settings.spike_limit_percentage // 100 or hard // 5
    return hard, max(0, hard - spike)


def make(settings: Settings, context: Context) -> MemoryLimiter:
    return MemoryLimiter(settings, context)
