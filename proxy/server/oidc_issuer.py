"""One issuer as a worker knows it: where browsers are sent. The hub asks it, and all who wait for
the same answer wait for one question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.access.oidc_ask import KIND, Answer, Question, answer, pack

FRESH = 300.0  # seconds that an answer counts
AGAIN = 2.0  # seconds in which a failure counts, so that a crowd does not become one of questions

Done = Callable[[Answer], None]


class Issuer:
    """Of one check. `asks` is the worker's `asks.Asks`."""

    __slots__ = ("_asks", "_client_id", "_known", "_said", "_until", "_waiting")

    def __init__(self, asks: Any, issuer: str, client_id: str) -> None:
        self._asks = asks
        self._said = issuer
        self._client_id = client_id
        self._known: Answer | None = None
        self._until = 0.0
        self._waiting: list[Done] = []

    def known(self, now: float) -> Answer | None:
        """None = it must be asked."""
        return self._known if now < self._until else None

    def find(self, now: float, done: Done) -> Callable[[], None]:
        """Ask. What is returned ends the waiting."""
        self._waiting.append(done)
        if len(self._waiting) == 1:
            asked = Question(self._said, self._client_id, now)
            self._asks.ask(KIND, pack(asked), lambda said: self._answered(now, answer(said)))

        def forget() -> None:
            if done in self._waiting:
                self._waiting[self._waiting.index(done)] = _nobody

        return forget

    def exchange(self, asked: Question, done: Done) -> None:
        """A code for what it stands for."""
        self._asks.ask(KIND, pack(asked), lambda said: done(answer(said)))

    def _answered(self, now: float, said: Answer) -> None:
        if not said.reason:
            self._known, self._until = said, now + FRESH
        elif self._known is None or self._known.reason:
            self._known, self._until = said, now + AGAIN
        else:
            self._until = now + AGAIN  # what was known before still counts
        assert self._known is not None
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(self._known)


def _nobody(said: Answer) -> None:
    """Who has gone."""
