"""The three modes of the probabilistic sampler: from what is known of an item to a decision.

Every decision depends on the item's R and T alone and on nothing remembered, so that all spans of
a trace are kept or dropped together, in whatever batches and at however many collectors.
"""

from __future__ import annotations

from typing import Protocol

from proxy.collector.processors.probabilistic_sampler import thresholds
from proxy.collector.processors.probabilistic_sampler.settings import Settings
from proxy.collector.processors.probabilistic_sampler.thresholds import NEVER, WHOLE, Told

UNKNOWN = -1  # in the place of T: kept, though nobody can say for how many it stands


class Mode(Protocol):
    """T of the decision about an item."""

    def decide(self, told: Told) -> int: ...


class Fixed:
    """hash_seed and equalizing: so much of everything, with what was dropped before us.

    An item that was sampled more sharply before is let through with the T that it has.
    """

    __slots__ = ("_threshold",)

    def __init__(self, threshold: int) -> None:
        self._threshold = threshold

    def decide(self, told: Told) -> int:
        before = told.threshold
        return self._threshold if before is None else max(before, self._threshold)


class Proportional:
    """So much of what comes, whatever was dropped before us."""

    __slots__ = ("_precision", "_ratio", "_untold")

    def __init__(self, ratio: float, precision: int) -> None:
        self._ratio = ratio
        self._precision = precision
        self._untold = thresholds.of_ratio(ratio, precision)

    def decide(self, told: Told) -> int:
        before = told.threshold
        if not before:
            return self._untold
        if self._ratio == 1:
            return before  # by way of a ratio it would be rounded, and drop a few
        share = (WHOLE - before) / WHOLE * self._ratio
        return max(before, thresholds.of_ratio(share, self._precision))


class Decider:
    """Whether an item is kept."""

    __slots__ = ("_closed", "_consistent", "_mode", "hashes", "nothing", "seed")

    def __init__(self, settings: Settings) -> None:
        percentage = settings.sampling_percentage
        ratio = min(percentage, 100.0) / 100
        self._closed = settings.fail_closed and ratio < 1  # of everything, R decides nothing
        hashed = settings.mode == "hash_seed"
        self.hashes = hashed and ratio < 1  # of everything, no hash need be known
        self.seed = thresholds.seeded(settings.hash_seed)
        self.nothing = percentage == 0
        self._mode: Mode
        self._consistent: Mode
        if self.nothing:
            self._mode = self._consistent = Fixed(NEVER)
            return
        proportional = Proportional(ratio, settings.sampling_precision)
        if hashed:
            self._mode = Fixed(thresholds.of_percentage(percentage))
        elif settings.mode == "equalizing":
            self._mode = Fixed(thresholds.of_ratio(ratio, settings.sampling_precision))
        else:
            self._mode = proportional
        # With R or T of its own an item is not hashed: its counts could not be kept right.
        self._consistent = proportional if hashed else self._mode

    def untold(self, randomness: int | None) -> int | None:
        """T if an item that says nothing of sampling is kept, or UNKNOWN, else None."""
        if randomness is None:
            return self.failed()
        threshold = self._mode.decide(thresholds.NOTHING)
        return threshold if randomness >= threshold else None

    def told(self, told: Told, randomness: int | None) -> int | None:
        """T if an item that says something of sampling is kept, or UNKNOWN, else None."""
        if told.randomness is not None:
            randomness = told.randomness
        if randomness is None or told.broken:
            return self.failed()
        if told.threshold is not None and randomness < told.threshold:
            return self.failed()  # it should not have come this far: T is a lie
        threshold = self._consistent.decide(told)
        return threshold if randomness >= threshold else None

    def failed(self) -> int | None:
        """Of items without usable randomness: None = dropped, UNKNOWN = kept."""
        return None if self._closed else UNKNOWN
