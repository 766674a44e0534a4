"""What connections and stories ask of the worker that they live in, and nothing else of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from proxy.errors import ClientError
from proxy.http.head import RequestHead
from proxy.http.target import Authorities
from proxy.server.faults import Faults
from proxy.server.h2_books import H2Books
from proxy.server.limiter import Limiter
from proxy.server.outbox import Outbox
from proxy.server.peer import Peer
from proxy.server.per_client import Clients
from proxy.server.sides import ClientSide, Lender, StoryEvents
from proxy.server.snapshot import Snapshot
from proxy.server.turns import Turns
from proxy.telemetry.recorder import Recorder
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.state import Upstreams


class Guest(Protocol):
    """A connection of a client, as the house sees it."""

    transport: Any
    watched: bool  # the sweep looks at it each time, not only when it has been idle for long
    filed: bool  # it is in the sweep's calendar

    @property
    def peer(self) -> Any:
        """A Peer; None = it is not known yet."""

    def tick(self, now: int) -> None:
        """Check deadlines."""

    def idle_since(self) -> int:
        """When it became idle (ns); 0 = it is not, -1 = it has ended."""

    def judge(self) -> None:
        """Look up again what its peer is trusted with."""

    def close_after(self) -> None:
        """Take no further request."""

    def retire(self) -> None:
        """It is old: take one further request at most, or none."""

    def cut(self) -> None:
        """The time to drain is over."""


Tell = Callable[["House", ClientSide, RequestHead], StoryEvents]


class Door(Protocol):
    """What stands between a listener and a codec (`door.py`)."""

    def welcome(self, guest: Guest, transport: Any) -> Peer | None:
        """Count a new connection; its peer, or None if it is one too many."""

    def trust(self, peer: Peer) -> tuple[bool, bool]:
        """Whether its trace context counts, and whether its forwarding fields do."""

    def hand_over(self, guest: Any, data: bytes) -> None:
        """Its connection has turned out to speak HTTP/2; `data` is what came of it."""

    @property
    def tell(self) -> Tell:
        """Makes the story of a request, not begun yet."""


class Dialling(Protocol):
    """A connection in the making."""

    def forget(self) -> None:
        """Nobody waits for it any more."""


class House:
    """The worker. A class to inherit from, as those of `sides.py` are, and for the same reason."""

    snapshot: Snapshot
    recorder: Recorder
    upstreams: Upstreams
    authorities: Authorities
    outbox: Outbox
    turns: Turns
    faults: Faults
    limiter: Limiter
    clients: Clients
    mirrors: Any  # a mirrors.Mirrors
    mesh: Any  # a Sidecar (`mesh_sidecar.py`), if it is one
    overload: Any  # an Overload (`overload.py`), which knows stories
    h2: H2Books
    asks: Any  # an Asks (`asks.py`): questions to the hub
    keysets: Any  # a Keysets (`keysets.py`): what issuers sign with
    draining: bool
    in_maintenance: bool  # routes to upstreams are closed
    switched: bool  # maintenance is on by the hub's word, whatever the configuration says
    random: Callable[[], float]
    getrandbits: Callable[[int], int]
    _pools: dict[str, Any]  # Lenders by Endpoint.key

    def maintain(self, on: bool) -> None:
        """Go by that word from now on, and by the configuration in force."""
        self.switched = on
        self.in_maintenance = on or self.snapshot.config.errors.maintenance.on

    def admit(self, guest: Guest) -> bool:
        """Count a client connection; False if it is one too many."""
        raise NotImplementedError

    def release(self, guest: Guest) -> None:
        """It has ended."""

    def watch(self, guest: Guest) -> None:
        """Something runs on it: look at its deadlines."""

    def succeed(self, guest: Guest, heir: Guest) -> None:
        """`heir` serves the connection of `guest` from now on; it is counted already."""
        raise NotImplementedError

    def refuse(self, reason: str, text: str) -> None:
        """A connection is closed that asked for nothing; `reason` is one of a few words, `text`
        says in one line which connection and why."""
        raise NotImplementedError

    def count_refused(self, error: ClientError) -> None:
        """Input that never became an exchange."""

    def pool_of(self, endpoint: Endpoint) -> Lender:
        """Who lends sides of that endpoint."""
        pool = self._pools.get(endpoint.key)
        return pool if pool is not None else self.open_pool(endpoint)

    def open_pool(self, endpoint: Endpoint) -> Lender:
        """One more of them, remembered."""
        raise NotImplementedError

    def forget(self, endpoint: Endpoint) -> None:
        """Nobody will be sent there for now: close what is warm."""

    def dial(
        self,
        story: StoryEvents,
        endpoint: Endpoint,
        timeout: float,
        old: bool = False,
        handshake: float = 0.0,
    ) -> Dialling:
        """Open a connection and tell the story; `timeout` in seconds, 0 = none. `handshake`:
        seconds of these for TLS, 0 = all. `old`: one of HTTP/1.1, though the endpoint speaks
        HTTP/2."""
        raise NotImplementedError

    def later(self, seconds: float, story: StoryEvents) -> None:
        """Wake a story that pauses between two tries."""

    def is_closing_idle(self, waited: int) -> bool:
        """Whether an idle connection that has waited so long (ns) should be closed now."""
        raise NotImplementedError
