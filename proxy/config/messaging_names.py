"""Names by which workers and the process of queues know each other's routes, listeners, fields."""

from __future__ import annotations

from collections.abc import Iterable

OWN = "spangate:"  # how names begin that no file can give
DELIVERY = OWN + "consume"  # the listener of what is consumed
TRY = b"spangate-try"  # of a delivery: which try it is, and why the one before failed: "2 503"
KNOWN = "spangate-known"  # of an answer to a delivery: a worker has a route for the consumer


def written(names: Iterable[str]) -> int:
    """How many of these are the file's: what the gateway has added is its own concern."""
    return sum(1 for name in names if not name.startswith(OWN))
