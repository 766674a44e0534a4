"""What is told of an object in its status: conditions, and how they become those that are written.

The time of a condition is that of its last change, so one that says the same as before keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from proxy.sources.kubernetes.objects import Condition

SHOWN = 1024  # of those that are written


class Told(NamedTuple):
    """One condition."""

    type: str
    holds: bool
    reason: str
    message: str = ""


def accepted(reason: str = "Accepted", message: str = "") -> Told:
    return Told("Accepted", reason == "Accepted", reason, message)


def resolved(reason: str = "ResolvedRefs", message: str = "") -> Told:
    return Told("ResolvedRefs", reason == "ResolvedRefs", reason, message)


def written(
    told: Iterable[Told], before: Sequence[Condition], generation: int, now: str
) -> list[dict[str, Any]]:
    """As they stand in a status. `now`: RFC 3339."""
    known = {condition.type: condition for condition in before}
    return [_written(one, known.get(one.type), generation, now) for one in told]


def _written(told: Told, before: Condition | None, generation: int, now: str) -> dict[str, Any]:
    status = "True" if told.holds else "False"
    stays = before is not None and before.status == status and before.last_transition_time
    return {
        "type": told.type,
        "status": status,
        "reason": told.reason,
        "message": told.message[:SHOWN],
        "observedGeneration": generation,
        "lastTransitionTime": stays or now,
    }


def kept(own: Iterable[str], before: Sequence[Condition]) -> list[dict[str, Any]]:
    """Conditions of types that are not ours, which stay as they are."""
    mine = set(own)
    return [plain(condition) for condition in before if condition.type not in mine]


def plain(condition: Condition) -> dict[str, Any]:
    return {
        "type": condition.type,
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "observedGeneration": condition.observed_generation,
        "lastTransitionTime": condition.last_transition_time,
    }
