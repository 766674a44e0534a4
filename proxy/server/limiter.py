"""Where a worker counts what rate limits limit.

scope "worker": a table of its own. "host": one in memory that the hub made and all workers map.
"shared": Redis (`redis.py`); while that does not answer, what `[redis] when_down` says.
"""

from __future__ import annotations

import logging
import mmap
import os
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from proxy.config.rate_model import Redis as RedisSettings
from proxy.kernel.clock import monotonic_ns
from proxy.kernel.gcra import HEADER, SLOT, Table
from proxy.server.rates import RateLimited, Rule, hashed
from proxy.telemetry import instruments

if TYPE_CHECKING:
    from proxy.server.redis import Answer, Redis

SLOTS = 1 << 21  # for 1,000,000 keys: half of them are free
SIZE = HEADER + SLOTS * SLOT
SECRET = 32  # bytes at the beginning of the memory
_EVERY = 10_000_000_000  # ns between two lines in the log about one route

log = logging.getLogger("spangate")


class Limiter:
    """One for a worker."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry
        self._secret = os.urandom(SECRET)
        self._own: Table | None = None
        self._host: Table | None = None
        self._redis: Redis | None = None
        self._settings = RedisSettings()
        self._said: dict[str, list[int]] = {}  # route -> when, how many since

    def share(self, memory: int) -> None:
        """Count together with all who have this memory, which begins with the secret."""
        mapped = mmap.mmap(memory, SIZE)
        self._secret = bytes(mapped[:SECRET])
        self._host = Table(mapped, memory)

    def configure(self, settings: RedisSettings) -> None:
        """Go by `[redis]`."""
        if settings == self._settings:
            return
        self.close()
        self._settings = settings
        if settings.url:
            from proxy.server.redis import Redis  # which few configurations need

            self._redis = Redis(settings.url)
            self._redis.open()

    def close(self) -> None:
        if self._redis is not None:
            self._redis.close()
            self._redis = None

    # a request

    def take(self, rule: Rule, key: bytes) -> int:
        """What the key owes (ns) in this process or on this host."""
        table = self._own if rule.scope == "worker" else self._host
        if table is None:
            if self._own is None:
                self._own = Table(mmap.mmap(-1, SIZE))
            table = self._own
        return table.take(hashed(self._secret, rule, key), monotonic_ns(), rule.cost, rule.most)

    def hashed(self, key: bytes) -> int:
        """64 bits that nobody can aim at, the same in all workers and never 0."""
        made = blake2b(key, digest_size=8, key=self._secret)
        return int.from_bytes(made.digest(), "little") or 1

    def ask(self, rule: Rule, key: bytes, answer: Answer) -> None:
        """Ask Redis; `answer` is called once, maybe at once."""
        if self._redis is None:
            answer(None)
            return
        name = b"spangate:{%016x%016x}" % (hashed(b"", rule, key), hashed(b"2", rule, key))
        self._redis.ask(name, rule.cost, rule.most, answer)

    def without_redis(self, rule: Rule, key: bytes) -> int:
        """What the key owes as `when_down` has it. Raises RateLimited."""
        down = self._settings.when_down
        self.count(instruments.RATE_FALLBACKS, rule, ("spangate.when_down", down))
        if down == "closed":
            raise RateLimited(rule, "the limit cannot be counted now")
        return 0 if down == "open" else self.take(rule, key)

    def count(self, name: str, rule: Rule, *more: tuple[str, str]) -> None:
        attributes = (("spangate.rate_limit", rule.title), ("spangate.route", rule.route))
        self._registry.number(name, tuple(sorted((*attributes, *more)))).value += 1

    def count_denied(self, rule: Rule) -> None:
        """Among all refusals of access control."""
        labels = (
            ("spangate.check", "rate_limit"),
            ("spangate.denied.reason", "rate_limited"),
            ("spangate.route", rule.route),
        )
        self._registry.number(instruments.ACCESS_DENIED, labels).value += 1

    def deny(self, rule: Rule, now: int) -> None:
        """Count it and say so, once in ten seconds for a route."""
        self.count(instruments.RATE_REFUSED, rule)
        said = self._said.get(rule.route)
        if said is None:
            self._said[rule.route] = [now, 0]
            log.warning(
                "route %s: refused by its rate limit %s",
                rule.route,
                rule.title,
                extra={"key": "rate_limit.refused"},
            )
        else:
            said[1] += 1

    def sum_up(self, now: int) -> None:
        """Say how many more there were where the time has come; a few times a second."""
        for route, said in list(self._said.items()) if self._said else ():
            if now - said[0] < _EVERY:
                continue
            if said[1]:
                log.warning(
                    "route %s: %d more refused by its rate limits in 10 s",
                    route,
                    said[1],
                    extra={"key": "rate_limit.more_refused"},
                )
                self._said[route] = [now, 0]
            else:
                del self._said[route]
