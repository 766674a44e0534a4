"""Several that learn from the attempts of one upstream, told one after the other."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.upstream.balance import Feedback, Outcome
from proxy.upstream.endpoint import Endpoint


class Learners:
    """A Feedback that passes on what it hears."""

    __slots__ = ("_all",)

    def __init__(self, learners: Iterable[Feedback]) -> None:
        self._all = tuple(learners)

    def begin(self, endpoint: Endpoint, now: int) -> None:
        """See `Feedback`."""
        for learner in self._all:
            learner.begin(endpoint, now)

    def end(self, endpoint: Endpoint, outcome: Outcome, ns: int) -> None:
        """See `Feedback`."""
        for learner in self._all:
            learner.end(endpoint, outcome, ns)


def together(learners: Iterable[Feedback]) -> Feedback | None:
    """One that tells all of them; None for nobody."""
    some = list(learners)
    if len(some) > 1:
        return Learners(some)
    return some[0] if some else None
