"""Who speaks first at a destination, as far as it was seen: the client or the server.

Remembered for some time, so that a client of a database does not wait each time until it is clear
that it is silent, and a server of HTTP is not dialled for each client that takes its time. That
one client has spoken says little of the next one, so what a server was seen to do outweighs it.

Clients that turned out to be sidecars when it was too late are remembered as well, and waited for
the next time.
"""

from __future__ import annotations

from proxy.server.mesh_places import Place

MOST = 1024  # destinations; beyond it the one that was seen first is forgotten
KEEP = 600_000_000_000  # ns: what listens at a port may become something else
# Seconds of silence that a client may have whose ClientHello came too late once, and before a
# server is dialled where others have spoken first.
PATIENCE = 2.0
LONGEST = 3600.0  # seconds of silence, as of connections that pass (`mesh_expand.py`)


class First:
    """Of one worker."""

    __slots__ = ("_known", "_late")

    def __init__(self) -> None:
        self._known: dict[Place, tuple[bool, int]] = {}
        self._late: dict[str, int] = {}  # addresses of clients, and when they were late

    def note(self, place: Place, server: bool, now: int) -> None:
        """Somebody has spoken; `server`: it was the server. `now`: monotonic ns."""
        if not server and self.is_server(place, now):
            return
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

    def silence(self, place: Place, waited: int, now: int) -> float:
        """Seconds for which a client must be silent yet before the server is dialled, after so many
        ns: whoever has been too early there must hold up nobody for good."""
        is_patient = 2 * waited > PATIENCE * 1e9  # timers are not exact
        return 0.0 if is_patient or self.is_server(place, now) is None else PATIENCE

    def longest(self, dialled: Place | None, now: int, keepalive: float) -> float:
        """Seconds of silence that a connection may last. With the server at the other end it is for
        the server to say; not where clients speak first, or each one that does not would cost it a
        connection."""
        if dialled is None or self.is_server(dialled, now) is False:
            return keepalive
        return LONGEST

    def note_late(self, client: str, now: int) -> None:
        """Its ClientHello came when it was taken for a silent client in plain text."""
        late = self._late
        late.pop(client, None)
        if len(late) >= MOST:
            del late[next(iter(late))]
        late[client] = now

    def patience(self, client: str, now: int, detect: float) -> float:
        """Seconds for which that client may be silent before it is taken for one in plain text."""
        at = self._late.get(client)
        if at is None or now - at > KEEP:
            return detect
        return max(detect, PATIENCE)
