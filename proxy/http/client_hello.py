"""What a TLS client says before anything is encrypted: the name it wants, the protocols it speaks.

Reads the first flight of a connection (RFC 8446 §4.1.2; §5.1 for records), so that a certificate
or an upstream can be chosen before the handshake, or without one. Nothing here is trusted: the
handshake, ours or the upstream's, decides. What OpenSSL would not read as a ClientHello is
`NotTls`, with the reason; what may still become one is `Incomplete`.
"""

from __future__ import annotations

MOST = 32 * 1024  # bytes of records before a ClientHello is whole; with ML-KEM shares it has 2 KiB
MOST_RECORDS = 64  # that it comes in, so that reading it anew with each byte stays cheap

_HANDSHAKE, _MAJOR_VERSION, _CLIENT_HELLO = 22, 3, 1  # RFC 8446 §5.1, §4
_SERVER_NAME, _ALPN = 0, 16  # RFC 6066 §3, RFC 7301 §3.1
_SESSION_TICKET, _PRE_SHARED_KEY = 35, 41  # RFC 5077 §3.2, RFC 8446 §4.2.11
_HOST_NAME = 0
_LONGEST_RECORD = 1 << 14
_LONGEST_NAME = 253  # RFC 1035 §2.3.4, as text
_NAME = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_.")
_METHODS = b"ACDGHLMOPTUacdghlmoptu"  # how requests of HTTP/1 begin, PRI of HTTP/2 among them


class NotTls(ValueError):
    """This is no ClientHello, or a broken one."""


class Incomplete(Exception):
    """It may be one; more bytes must come."""


class ClientHello:
    """`server_name` in lower case without a dot at its end, None = not said; `alpn` in the
    client's order; `ticket`: of the session that it wants to resume, b"" = none."""

    __slots__ = ("alpn", "server_name", "ticket")

    def __init__(self, server_name: str | None, alpn: tuple[str, ...], ticket: bytes = b"") -> None:
        self.server_name = server_name
        self.alpn = alpn
        self.ticket = ticket

    def __repr__(self) -> str:
        return f"<ClientHello {self.server_name} {', '.join(self.alpn)}>"


def client_hello(data: bytes) -> ClientHello:
    """Of a connection's first bytes; raises Incomplete or NotTls."""
    message = _Reader(_handshake(data))
    message.skip(2 + 32)  # legacy_version, random
    message.pass_over(1)  # legacy_session_id
    message.pass_over(2)  # cipher_suites
    message.pass_over(1)  # legacy_compression_methods
    name: str | None = None
    alpn: tuple[str, ...] = ()
    ticket = b""
    extensions = _Reader(message.vector(2) if message.more() else b"")
    while extensions.more():
        kind = extensions.number(2)
        if kind == _SERVER_NAME:
            name = _server_name(_Reader(extensions.vector(2)))
        elif kind == _ALPN:
            alpn = _protocols(_Reader(extensions.vector(2)))
        elif kind == _SESSION_TICKET:
            ticket = extensions.vector(2)
        elif kind == _PRE_SHARED_KEY:
            ticket = _first_identity(_Reader(extensions.vector(2)))
        else:
            extensions.pass_over(2)
    return ClientHello(name, alpn, ticket)


def server_name_of(data: bytes) -> str | None:
    """The name alone; raises Incomplete or NotTls."""
    return client_hello(data).server_name


def is_tls(data: bytes) -> bool:
    """Whether a connection that begins so speaks TLS, for those that should not: nothing in plain
    text begins with these bytes."""
    return data[:1] == b"\x16" and data[1:2] in (b"\x03", b"")


def is_http(data: bytes) -> bool:
    """Whether it begins like a request in plain text."""
    word = data[:8].split(b" ", 1)[0]
    return bool(word) and word.isalpha() and word[:1] in _METHODS


def _handshake(data: bytes) -> bytes:
    """The ClientHello's body out of the records that carry it."""
    message = b""
    at = 0
    for _ in range(MOST_RECORDS):
        size = _record(data, at)
        message += data[at + 5 : at + 5 + size]
        if message and message[0] != _CLIENT_HELLO:
            raise NotTls("the handshake does not begin with a ClientHello")
        if len(message) >= 4:
            whole = 4 + (message[1] << 16 | message[2] << 8 | message[3])
            if whole > MOST:
                raise NotTls("the ClientHello is too large")
            if len(message) >= max(whole, 5):
                return message[4:whole]
        at += 5 + size
        if at >= len(data):
            if at > MOST:
                raise NotTls("the ClientHello is too large")
            raise Incomplete
    raise NotTls("the ClientHello comes in too many records")


def _record(data: bytes, at: int) -> int:
    """The size of the handshake record that begins there; a head that has come in part is judged
    by that."""
    came = len(data) - at
    if came > 0 and data[at] != _HANDSHAKE:
        raise NotTls("not a TLS handshake")
    if came > 1 and data[at + 1] != _MAJOR_VERSION:
        raise NotTls("an unknown version of TLS records")
    if came < 5:
        raise Incomplete
    size = data[at + 3] << 8 | data[at + 4]
    if not 0 < size <= _LONGEST_RECORD:
        raise NotTls("a TLS record of a size that there is not")
    return size


def _server_name(names: _Reader) -> str | None:
    listed = _Reader(names.vector(2))
    names.done()
    found: str | None = None
    while listed.more():
        kind, name = listed.number(1), listed.vector(2).lower().removesuffix(b".")
        if kind != _HOST_NAME:
            continue
        if found is not None or not 0 < len(name) <= _LONGEST_NAME or not _NAME.issuperset(name):
            raise NotTls("an invalid server name")
        found = name.decode("ascii")
    return found


def _protocols(said: _Reader) -> tuple[str, ...]:
    listed = _Reader(said.vector(2))
    said.done()
    names = []
    while listed.more():
        names.append(listed.vector(1).decode("latin-1"))
    if not all(names):
        raise NotTls("an empty ALPN protocol")
    return tuple(names)


def _first_identity(offered: _Reader) -> bytes:
    """Clients offer the ticket of one session, and if several, the best first."""
    return _Reader(offered.vector(2)).vector(2)


class _Reader:
    """Vectors and numbers, RFC 8446 §3."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def more(self) -> bool:
        return self._at < len(self._data)

    def skip(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise NotTls("the ClientHello is cut short")
        return self._data[start : self._at]

    def number(self, size: int) -> int:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise NotTls("the ClientHello is cut short")
        found = 0
        for at in range(start, self._at):
            found = found << 8 | self._data[at]
        return found

    def pass_over(self, prefix: int) -> None:
        """A vector that nobody wants to see."""
        size = self.number(prefix)
        self._at += size
        if self._at > len(self._data):
            raise NotTls("the ClientHello is cut short")

    def vector(self, prefix: int) -> bytes:
        return self.skip(self.number(prefix))

    def done(self) -> None:
        if self.more():
            raise NotTls("the ClientHello has bytes that mean nothing")
