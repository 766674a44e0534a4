"""The connections of a worker's clients, and when each is old enough to be asked to leave.

Where `limits.connection_age` says so, a connection that has lasted that long takes no more than one
further request (HTTP/1.1), or is told to begin none (HTTP/2), so that clients spread anew over
gateways that have come since. A tenth of jitter keeps those that came together from going together.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.server.house import Guest

_LOOK = 1_000_000_000  # ns from one look to the next
_JITTER = 0.1


class Guests(dict[Guest, int]):
    """Each connection, and when it is to leave (monotonic ns; 0 = never)."""

    __slots__ = ("_looked",)

    def __init__(self) -> None:
        self._looked = 0

    def admit(self, guest: Guest, age: float, now: int, random: Callable[[], float]) -> None:
        """One more, who may stay for `age` seconds and a tenth more or less; 0 = for ever."""
        jitter = 1 + _JITTER * (2 * random() - 1) if age else 0.0
        self[guest] = now + int(age * 1e9 * jitter) if age else 0

    def succeed(self, guest: Guest, heir: Guest) -> None:
        """`heir` serves the same connection from now on."""
        self[heir] = self.pop(guest, 0)

    def retire(self, now: int) -> None:
        """Ask those to leave that are old; looked at once a second at most."""
        if now - self._looked < _LOOK:
            return
        self._looked = now
        for guest in [guest for guest, due in self.items() if 0 < due <= now]:
            self[guest] = 0
            guest.retire()
