"""Routes with several upstreams: who goes to which of them, and how each of them does."""

from __future__ import annotations

from proxy.server.choosing import LONGEST
from proxy.server.snapshot import RouteEntry, Target
from proxy.server.story import Story
from proxy.telemetry import instruments
from proxy.telemetry.blocks import server_error
from proxy.upstream.hashed import place


def spot(story: Story, entry: RouteEntry) -> float:
    """Where in [0, 1) the request is among the route's upstreams, in the order of the file: by
    chance, or always the same for one client. So a share that grows takes clients from its
    neighbours and moves nobody else, and who is in one route's canary is in another's of that
    share."""
    key = entry.sticky(story) if entry.sticky is not None else None
    if not key:
        return story.worker.random()
    return place(b"split " + key[:LONGEST]) / 2**64


def count(story: Story, entry: RouteEntry, target: Target) -> None:
    """How long the client waited, and whether in vain, by the side that it was sent to."""
    x = story.x
    if x.client_gone:
        return
    labels: list[tuple[str, str | int | bool]] = [
        ("spangate.route", entry.blocks.name),
        ("spangate.upstream", target.name),
    ]
    error = server_error(x.status, x.error)
    if error:
        labels.append(("error.type", error))
    registry = story.worker.recorder.registry
    registry.histogram(instruments.SPLIT_DURATION, tuple(labels)).record(x.end - x.start)
