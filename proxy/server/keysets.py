"""The keys of issuers in one worker: as the hub has last told them, by the URL they are from.

By URL and not by check, so that a check which is given another URL by a reload never goes by the
keys of the issuer before. They outlive configurations, and are there before the first one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import msgspec

from proxy.access.keyset import KeySet

QUESTION = b"jwks"  # the kind of question (asks.py); the answer is seconds until the next one
PAUSE = 5.0  # seconds until the next question where the hub gave no answer


class Keysets:
    """Of one worker. `asks` is its Asks."""

    __slots__ = ("_asks", "_known", "_not_before", "_thread", "_told", "_waiting")

    def __init__(self, asks: Any) -> None:
        self._asks = asks
        self._known: dict[str, KeySet] = {}
        self._told: dict[str, bytes] = {}  # what these were made of
        self._not_before: dict[str, float] = {}  # Unix seconds of the next question
        self._thread: ThreadPoolExecutor | None = None  # for signatures that take long
        self._waiting: dict[str, list[Callable[[], None]]] = {}

    def take(self, payload: bytes) -> None:
        """A KEYS frame: all that is known. What is the same stays the same object, so that what
        was found out by it still counts."""
        told = _frame.decode(payload)
        self._known = {
            url: self._known[url] if self._told.get(url) == packed else KeySet(packed)
            for url, packed in told.items()
        }
        self._told = told

    def current(self, url: str) -> KeySet | None:
        return self._known.get(url)

    def may_ask(self, url: str, now: float) -> bool:
        return url in self._waiting or now >= self._not_before.get(url, 0.0)

    def ask(self, url: str, now: float, done: Callable[[], None]) -> Callable[[], None]:
        """One question for all that wait."""
        waiting = self._waiting.get(url)
        if waiting is not None:
            waiting.append(done)
        else:
            waiting = self._waiting[url] = [done]
            self._asks.ask(QUESTION, url.encode(), lambda answer: self._answered(url, now, answer))

        def forget() -> None:
            if done in waiting:
                waiting.remove(done)

        return forget

    def elsewhere(self, work: Callable[[], bool], done: Callable[[bool], None]) -> None:
        """Verify in a thread, which `cryptography` leaves the interpreter to others for."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "signatures")
        loop = asyncio.get_running_loop()

        def over(future: Future[bool]) -> None:
            signed = future.exception() is None and future.result()
            with contextlib.suppress(RuntimeError):  # the worker has ended meanwhile
                loop.call_soon_threadsafe(done, signed)

        self._thread.submit(work).add_done_callback(over)

    def _answered(self, url: str, now: float, answer: bytes | None) -> None:
        try:
            pause = float(answer) if answer else PAUSE
        except ValueError:
            pause = PAUSE
        self._not_before[url] = now + pause
        waiting = self._waiting.pop(url, [])
        while waiting:  # whoever is called may end the waiting of others
            waiting.pop(0)()


_frame = msgspec.msgpack.Decoder(dict[str, bytes])
