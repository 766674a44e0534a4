"""What an HTTP/1.1 connection expects from its upstream, and what may follow what."""

from __future__ import annotations

from enum import IntEnum


class AnswerState(IntEnum):
    """What is expected from the upstream."""

    IDLE = 0  # nothing
    HEAD = 1  # an answer
    BODY = 2  # the rest of one
    TUNNEL = 3  # bytes that are no HTTP
    CLOSED = 4


# Bare numbers, which compare at once, compiled or not.
IDLE, HEAD, BODY, TUNNEL, CLOSED = map(int, AnswerState)

# Where each state may lead; tests hold every connection that they make to it.
NEXT: dict[int, frozenset[int]] = {
    IDLE: frozenset({HEAD, CLOSED}),
    HEAD: frozenset({BODY, CLOSED}),
    BODY: frozenset({IDLE, TUNNEL, CLOSED}),
    TUNNEL: frozenset({CLOSED}),
    CLOSED: frozenset({CLOSED}),
}
