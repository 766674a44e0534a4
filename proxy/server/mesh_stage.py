"""The first moments of a connection at a sidecar: what is spoken, and who begins.

Requests are worth a look, everything else passes as bytes. A client that says nothing for a moment
may wait for its server to speak, as those of databases and mail do: then the server is dialled and
both are listened to, and whoever speaks first decides. What was found is remembered for a while
(`mesh_first.py`), and ports of which it is known are not looked at.
"""

from __future__ import annotations

import asyncio
from typing import Any

from proxy.config.mesh_names import INBOUND
from proxy.errors import ClientError, ProxyError
from proxy.http.client_hello import ClientHello, Incomplete, NotTls, client_hello
from proxy.http.detect import Spoken, detect, is_answer, is_settings
from proxy.kernel.clock import monotonic_ns
from proxy.server.h1_client import ClientConnection
from proxy.server.house import House
from proxy.server.listener import Listener
from proxy.server.mesh_places import Place, came_in_by
from proxy.server.mesh_stream import MeshStream
from proxy.server.peer import NOBODY, Peer
from proxy.server.tcp import Found
from proxy.server.tcp_upstream import was_cut
from proxy.server.tls_guest import TlsGuest
from proxy.telemetry.instruments import MESH_CONNECTIONS

# What is told of how a connection was judged; in its span, but for those that carry requests.
PORT, REMEMBERED, SERVER, TLS, OPAQUE, TIMEOUT = (
    "opaque_port", "remembered", "server_first", "tls", "bytes", "timeout",
)  # fmt: skip
HTTP, HTTP2, PEER = "http", "http2", "mesh"
_HTTPS = 443


class Stage:
    """One connection until it is clear what it speaks."""

    __slots__ = (
        "_dialling", "_door", "_first", "_house", "_listener", "_over", "_peer", "_place",
        "_shut", "_sidecar", "_since", "_timer", "_upstream", "filed", "transport", "watched",
    )  # fmt: skip

    def __init__(self, house: House, door: Any, listener: Listener, sidecar: Any) -> None:
        self._house = house
        self._door = door  # a MeshDoor
        self._listener = listener
        self._sidecar = sidecar
        self._peer = NOBODY
        self._place: Place | None = None  # where its bytes go, if they are no requests
        self._first = b""
        self._since = 0
        self._timer: asyncio.TimerHandle | None = None
        self._dialling: Any = None
        self._upstream: Any = None  # that was dialled to hear whether it speaks first
        self._over = False
        self._shut = False  # the client has, its end
        self.watched = self.filed = False  # the sweep's
        self.transport: Any = None

    # asyncio's protocol

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._since = now = monotonic_ns()
        peer = self._door.welcome(self, transport)
        if peer is None:
            self._house.count_refused(ClientError(503, "too many connections", close=True))
            self._end()
            return
        self._peer = peer
        if transport.is_closing():
            self._over = True
            return
        side, port = self._door.side, transport.get_extra_info("sockname")[1]
        self._sidecar.introduce(peer, transport, side, came_in_by(self._listener, port))
        place = self._place = self._sidecar.place_of(peer, side, now)
        known = "" if place is None else self._known_of(place, now)
        # Another sidecar says so at once, and is to be heard before anything is done.
        if known and not (side == INBOUND and self._sidecar.secure):
            self._pass_bytes(known)
        else:
            self._wait()

    def _known_of(self, place: Place, now: int) -> str:
        """Why it passes without a look; "" = it does not."""
        if self._sidecar.is_opaque(place):
            return PORT
        return REMEMBERED if self._sidecar.first.is_server(place, now) else ""

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if not self._first:
            self._since = monotonic_ns()  # a head has its own time, whatever the silence before it
        self._first = first = self._first + data if self._first else data
        spoken, place = detect(first), self._place
        if place is not None and spoken != Spoken.TLS and self._sidecar.is_opaque(place):
            self._pass_bytes(PORT)
        elif spoken == Spoken.HTTP:
            self._serve()
        elif spoken == Spoken.TLS:
            self._secure(first)
        elif spoken == Spoken.BYTES:
            self._pass_bytes(OPAQUE)
        elif self._timer is None:
            self._wait()  # the silence before it was another one

    def eof_received(self) -> bool:
        """What is no request until its end is bytes, were it nothing: the server may have something
        to say all the same. Who may have nothing from it, as those without an identity that only
        look whether somebody listens, is ended without a word."""
        place = self._place
        if self._over or place is None or was_cut(self.transport):
            return False
        how = OPAQUE
        if not self._first:
            if self._must_prove() or not self._is_known():
                return False
            how = self._known_of(place, monotonic_ns()) or OPAQUE
        self._shut = True
        if self._first or self._dialling is None:  # which is not done twice
            self._pass_bytes(how)
        return not self.transport.is_closing()

    def connection_lost(self, error: Exception | None) -> None:
        self._over = True
        self._forget()
        guest: Any = self
        self._house.release(guest)

    # the silence

    def _wait(self) -> None:
        seconds, first = self._sidecar.mesh.detect, self._sidecar.first
        if not self._first and self._listener.tls is not None:
            seconds = first.patience(self._peer.address, monotonic_ns(), seconds)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._silent)

    def _silent(self) -> None:
        """The client has not said enough for a moment."""
        self._timer = None
        if self._over:
            return
        place = self._place
        if self._first and detect(self._first) != Spoken.TLS:
            if place is not None:
                self._pass_bytes(TIMEOUT)  # else a request alone can say where it goes
        elif not self._first and place is not None and not self._must_prove():
            now = monotonic_ns()
            if known := self._known_of(place, now):
                self._pass_bytes(known)
            elif self._is_known():
                self._ask(place, now)

    def _is_known(self) -> bool:
        """Whether there may be something for whoever it is: the application is not dialled in
        advance for those whom no rule of `mesh.allow` is for."""
        routes = self._house.snapshot.streams.get(self._door.side)
        entry = routes.find("") if routes is not None else None
        rules = entry.access.mesh if entry is not None and entry.access is not None else None
        return rules is None or rules.knows(self._peer.listener, self._peer.identity)

    def _must_prove(self) -> bool:
        """Whether nothing is let in here as it is."""
        return self._door.side == INBOUND and self._sidecar.is_strict and not self._peer.identity

    def _ask(self, place: Place, now: int) -> None:
        """Find out whether the server speaks first: later, where clients were seen to."""
        more = self._sidecar.first.silence(place, now - self._since, now)
        if more:
            self._timer = asyncio.get_running_loop().call_later(more, self._silent)
        else:
            self._listen(place)

    def _listen(self, place: Place) -> None:
        """Dial the server, to hear whether it speaks first."""
        endpoint = self._sidecar.bytes_at(place, self._door.side, self._peer)
        if endpoint is not None:
            timeout = self._house.snapshot.config.defaults.connect_timeout
            story: Any = self
            self._dialling = self._house.dial(story, endpoint, timeout)

    def on_connected(self, upstream: Any) -> None:
        self._dialling = None
        if self._over:
            upstream.drop()
            return
        self._upstream = upstream
        if self._shut:
            self._pass_bytes(OPAQUE)
        else:
            upstream.listen(self)

    def on_connect_failed(self, error: ProxyError) -> None:
        """As the client would have learnt if it had connected itself."""
        self._dialling = None
        if not self._over:
            self._pass_bytes(OPAQUE if self._shut else TIMEOUT)

    def on_spoken(self, said: bytes) -> None:
        """The server has spoken first. One of HTTP may: then it is for the client all the same."""
        if is_settings(said):
            self._spoke_first()
            self._forget()
        elif not self._over and self._place is not None:
            if not is_answer(said):
                self._sidecar.first.note(self._place, True, monotonic_ns())
            self._pass_bytes(SERVER)

    def on_gone(self) -> None:
        """The server has gone before anybody had spoken."""
        self._upstream = None
        if not self._over:
            self._end()

    def _forget(self) -> None:
        """Nobody listens to the silence any more."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        dialling, self._dialling = self._dialling, None
        if dialling is not None:
            dialling.forget()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.drop()

    # what follows

    def _serve(self) -> None:
        """Requests."""
        if self._must_prove():
            self._refuse("plain", "requests that are not encrypted are not let in")
            return
        self._count(HTTP2 if self._first.startswith(b"PRI ") else HTTP)
        self._spoke_first()
        self._forget()
        self._become(ClientConnection(self._house, self._door.lend(self)))

    def _secure(self, data: bytes) -> None:
        """TLS: ours, if a sidecar has begun it, else whoever's it is."""
        try:
            hello = client_hello(data)
        except Incomplete:
            return
        except NotTls:
            self._pass_bytes(OPAQUE)
            return
        shown = self._listener.tls
        if shown is not None and self._sidecar.is_for_us(hello):
            for_bytes = self._sidecar.is_for_bytes(hello)
            if not for_bytes:  # else nobody has spoken yet (`mesh_secure.py`)
                self._count(PEER)
                self._spoke_first()
            self._forget()
            self._become(TlsGuest(self._house, self._door.lend(self, for_bytes), shown))
        else:
            self._pass_tls(hello)

    def _pass_tls(self, hello: ClientHello) -> None:
        name = hello.server_name or ""
        if self._door.side != INBOUND and self._peer.local is None and name:
            self._peer.local = self._place = (name, _HTTPS)
        if self._sidecar.goes_by_name(name):
            self._forget()  # whoever was dialled may be the wrong one
        self._pass_bytes(TLS, name)

    def _pass_bytes(self, how: str, name: str = "") -> None:
        """Bytes, without looking at them any more."""
        place, inbound = self._place, self._door.side == INBOUND
        if self._must_prove():
            self._refuse("plain", "what is not encrypted is not let in")
            return
        if place is None or (not inbound and self._sidecar.is_own(place, monotonic_ns())):
            self._refuse("nowhere", "its bytes do not say where they go")
            return
        self._count(how)
        if self._first:
            self._spoke_first()
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.listen(None)
        self._forget()
        found = Found(how, self._door.side, upstream)
        heir = MeshStream(self._house, self._door.lend(self), self._listener, name, found)
        if self._listener.tls is not None and not (self._first or self._peer.identity):
            heir.doubt(self._sidecar.first)
        self._become(heir)

    def _spoke_first(self) -> None:
        if self._place is not None:
            self._sidecar.first.note(self._place, False, monotonic_ns())

    def _count(self, how: str) -> None:
        labels = (("spangate.direction", self._door.side), ("spangate.detected", how))
        self._house.recorder.registry.number(MESH_CONNECTIONS, labels).value += 1

    def _become(self, heir: Any) -> None:
        """Put what serves it in this one's place."""
        self._over = True
        data, self._first = self._first, b""
        self.transport.set_protocol(heir)
        heir.connection_made(self.transport)
        if data and not self.transport.is_closing():
            heir.data_received(data)
        if self._shut and not self.transport.is_closing() and not heir.eof_received():
            self.transport.close()

    def _refuse(self, reason: str, why: str) -> None:
        name = self._listener.name or self._listener.address
        self._house.refuse(f"mesh_{reason}", f"listener {name}: {self._peer!r}: {why}")
        self._end()

    def _end(self) -> None:
        self._over = True
        self._forget()
        self.transport.abort()

    # the house's guest

    def tick(self, now: int) -> None:
        waited = now - self._since
        is_late = waited > self._longest(now) * 1e9 > 0
        if not self._over and (is_late or self._house.is_closing_idle(waited)):
            self._end()

    def _longest(self, now: int) -> float:
        """Seconds that this may take; 0 = there is no end to it."""
        limits = self._house.snapshot.limits
        if self._first:
            return limits.header_timeout
        dialled = None if self._upstream is None else self._place
        return float(self._sidecar.first.longest(dialled, now, limits.keepalive))

    def idle_since(self) -> int:
        return -1 if self._over else 0

    def judge(self) -> None:
        """It has not begun, and nothing is written to it."""

    close_after = retire = pause_writing = resume_writing = judge
    cut = _end

    @property
    def peer(self) -> Peer:
        """The other end."""
        return self._peer
