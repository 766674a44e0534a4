"""What an HTTP/1.1 connection expects from its client, and what may follow what."""

from __future__ import annotations

from enum import IntEnum


class ClientState(IntEnum):
    """What is expected from the client."""

    HEAD = 0  # a request
    BODY = 1  # the rest of one
    WAIT = 2  # nothing: it waits for its answer
    TUNNEL = 3  # bytes that are no HTTP
    LINGER = 4  # nothing: all is said, the end is on its way
    CLOSED = 5


# Bare numbers, which compare at once, compiled or not.
HEAD, BODY, WAIT, TUNNEL, LINGER, CLOSED = map(int, ClientState)

# Where each state may lead; tests hold every connection that they make to it.
NEXT: dict[int, frozenset[int]] = {
    HEAD: frozenset({BODY, WAIT, LINGER, CLOSED}),
    BODY: frozenset({WAIT, TUNNEL, LINGER, CLOSED}),
    WAIT: frozenset({HEAD, TUNNEL, LINGER, CLOSED}),
    TUNNEL: frozenset({LINGER, CLOSED}),
    LINGER: frozenset({CLOSED}),
    CLOSED: frozenset({CLOSED}),
}
