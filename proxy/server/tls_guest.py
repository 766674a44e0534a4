"""A client's connection with TLS, from its first byte to the codec that serves it.

The ClientHello is read before OpenSSL sees it: it says which certificate to show, and whoever
sends something else is told so in words he understands. A handshake takes a millisecond, so that
those of many clients wait in the worker's turns like other long work, and nobody waits for them:
between two turns only the ClientHello is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from ssl import SSLError
from typing import Any

from proxy.errors import ClientError
from proxy.http.client_hello import ClientHello, Incomplete, NotTls, client_hello, is_http
from proxy.kernel.clock import monotonic_ns
from proxy.server import tls_failures
from proxy.server.house import House
from proxy.server.peer import Peer
from proxy.server.tls import MOST_HANDSHAKE, TlsLayer
from proxy.server.tls_failures import Failure, failure
from proxy.server.tls_keyring import ServerContext, Shown
from proxy.server.tls_tickets import NAME
from proxy.telemetry.instruments import DOWNSTREAM_HANDSHAKES, DOWNSTREAM_TLS_FAILED
from proxy.telemetry.tls import count_failure, count_handshake

_LINGER_NS = 1_000_000_000  # a refused client may read for so long
_NO_PROTOCOL = b"\x15\x03\x03\x00\x02\x02\x78"  # a fatal alert: no_application_protocol, RFC 7301
_HINT = b"this port speaks HTTPS: write https:// instead of http://\n"
_PLAIN_ANSWER = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n"
_PLAIN_ANSWER += b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(_HINT), _HINT)


class Reception:
    """What a door does for a connection with TLS; see `door.py`."""

    __slots__ = ()

    def welcome(self, guest: Any, transport: Any) -> Peer | None:
        """Count a new connection; its peer, or None if it is one too many."""
        raise NotImplementedError

    def enter(self, guest: TlsGuest, peer: Peer) -> Any:
        """The codec for a connection whose handshake is done."""
        raise NotImplementedError


class TlsGuest(TlsLayer):
    """One connection; a guest of the house until its codec is one."""

    __slots__ = (
        "_first", "_house", "_is_aged", "_left", "_queued", "_reception", "_refused", "_shut",
        "_since", "certified", "filed", "is_named", "peer", "shown", "watched",
    )  # fmt: skip

    def __init__(self, house: House, reception: Reception, shown: Shown) -> None:
        super().__init__()
        self._house = house
        self._reception = reception
        self.shown = shown
        self.certified: ServerContext | None = None  # which of them the client got
        self.is_named = False  # because it asked for a name
        self._first = b""  # a part of the ClientHello
        self.peer: Any = None  # a Peer, once there is a connection
        self._since = 0
        self._is_aged = False  # the client resumes by a ticket of the keys before the last ones
        self._queued = False
        self._refused = False
        self._shut = False  # the client has, its end, before what it sent has had its turn
        self._left = False  # it is no guest any more
        self.watched = self.filed = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._since = monotonic_ns()
        self.peer = self._reception.welcome(self, transport)
        if self.peer is None:
            self._house.count_refused(ClientError(503, "too many connections", close=True))
            self._refused = True
            transport.close()
        elif transport.is_closing():
            self._refused = True  # its address has enough

    def data_received(self, data: bytes) -> None:
        if self._is_open:
            self._in.write(data)
            self._deliver()
        elif self._refused:
            return
        elif self.certified is None:
            self._hear(self._first + data if self._first else data)
        else:
            self._in.write(data)
            self._shake(len(data))

    def eof_received(self) -> bool:
        if self._queued and not self._refused:
            self._shut = True
            return True
        if not self._is_open and not self._refused:
            self._refuse(tls_failures.CLOSED)
        return TlsLayer.eof_received(self)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._left:
            self._left = True
            self._house.release(self)
            if not self._refused:
                self._refused = True
                self._count(tls_failures.CLOSED)
        TlsLayer.connection_lost(self, error)

    def _hear(self, data: bytes) -> None:
        """The ClientHello, or a part of it."""
        try:
            hello = client_hello(data)
        except Incomplete:
            self._first = data
            return
        except NotTls:
            self._refuse_plain(data)
            return
        self._first = b""
        if not _agree(hello, self.shown.offered):
            self._refuse(tls_failures.NO_PROTOCOL, _NO_PROTOCOL)
            return
        self.certified = self.shown.choose(hello.server_name)
        self.is_named = hello.server_name is not None
        self._is_aged = bool(hello.ticket) and self.certified.knows(hello.ticket[:NAME])
        self._in.write(data)
        self._shake(len(data))

    def _shake(self, size: int) -> None:
        self.came += size
        if self.came > MOST_HANDSHAKE:
            self._refuse(tls_failures.TOO_LARGE)
        elif not self._queued:
            self._queued = True
            self._house.turns.add(self)

    def go_on(self) -> None:
        """A step of the handshake."""
        self._queued = False
        if self._refused or self._is_open or self.transport.is_closing():
            return
        if self._tls is None:
            assert self.certified is not None
            self._begin(self.certified.context, None, None)
        try:
            done = self._step_back() if self._is_aged else self._step()
        except (SSLError, OSError) as error:
            self._refuse(failure(error))
            return
        if done:
            self._enter()
        if self._shut and not self.eof_received():
            self.transport.close()

    def _step_back(self) -> bool:
        """The first one of a client whose ticket is sealed with the keys before the last change;
        what it gets in the next one is sealed with those in force."""
        self._is_aged = False
        certified = self.certified
        assert certified is not None
        certified.go_back()
        try:
            return bool(self._step())
        finally:
            certified.go_on()

    def _enter(self) -> None:
        assert self.peer is not None
        tls = self._raw
        version = tls.version()
        if version == "TLSv1.3":
            self._holds = True  # tickets
        else:
            self._flush()
        registry = self._house.recorder.registry
        count_handshake(registry, DOWNSTREAM_HANDSHAKES, version, tls.session_reused)
        codec = self._reception.enter(self, self.peer)
        self._left = True
        self._house.succeed(self, codec)
        self._open(codec)

    def _refuse_plain(self, data: bytes) -> None:
        if is_http(data):
            self._house.count_refused(ClientError(400, "plain HTTP on a port for TLS", close=True))
            self._refuse(tls_failures.PLAIN_HTTP, _PLAIN_ANSWER)
        else:
            self._refuse(tls_failures.NOT_TLS)

    def _refuse(self, why: Failure, answer: bytes = b"") -> None:
        """No handshake, no codec; with an answer the end is left to the client for a moment."""
        self._refused = True
        self._first = b""
        self._since = monotonic_ns()
        self._count(why)
        if self.shown.is_mesh and self.peer is not None:
            # Who cannot come in has no span, and whoever runs the mesh must know why.
            self._house.refuse(f"mesh_{why[0]}", f"mesh: {self.peer!r} {why[1]}")
        if answer and not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.write_eof()
        else:
            self.transport.close()

    def _count(self, why: Failure) -> None:
        count_failure(self._house.recorder.registry, DOWNSTREAM_TLS_FAILED, why[0])

    # a guest of the house

    def tick(self, now: int) -> None:
        if self._left:
            return
        waited = now - self._since
        if self._refused:
            if waited > _LINGER_NS:
                self.transport.abort()
        elif waited > self._house.snapshot.limits.handshake * 1e9 > 0:
            self._refuse(tls_failures.TIMEOUT)

    def idle_since(self) -> int:
        return -1 if self._left else 0

    def judge(self) -> None:
        pass  # its codec asks when there is one

    def close_after(self) -> None:
        pass  # its codec sees that the house is being left

    def retire(self) -> None:
        pass  # a handshake has a limit of its own

    def cut(self) -> None:
        self.transport.close()


def _agree(hello: ClientHello, offered: Sequence[str]) -> bool:
    """Whether client and gateway have a protocol in common, or one of them does not say."""
    return not hello.alpn or not offered or not set(hello.alpn).isdisjoint(offered)
