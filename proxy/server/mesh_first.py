"""Who speaks first at a destination, as far as it was seen: the client or the server.

Remembered for some time, so that a client of a database does not wait each time until it is clear
that it is silent, and a server of HTTP is not dialled for each client that takes its time.
"""

from __future__ import annotations

from proxy.server.mesh_places import Place

MOST = 1024  # destinations; beyond it the one that was seen first is forgotten
KEEP = 600_000_000_000  # ns: what listens at a port may become something else


class First:
    """Of one worker."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Place, tuple[bool, int]] = {}

    def note(self, place: Place, server: bool, now: int) -> None:
        """Somebody has spoken; `server`: it was the server. `now`: monotonic ns."""
        known = self._known
        known.pop(place, None)
        if len(known) >= MOST:
            del known[next(iter(known))]
        known[place] = (server, now)

    def is_server(self, place: Place, now: int) -> bool | None:
        """Whether the server speaks first there; None = that is not known."""
        found = self._known.get(place)
        if found is None or now - found[1] > KEEP:
            return None
        return found[0]
