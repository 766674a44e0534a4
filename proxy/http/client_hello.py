"""What a TLS client says before anything is encrypted: the name it wants, the protocols it speaks.

Reads the first flight of a connection (RFC 8446 §4.1.2; §5.1 for records), so that a certificate
or an upstream can be chosen before the handshake, or without one. Nothing here is trusted: the
handshake, ours or the upstream's, decides. What OpenSSL would not read as a ClientHello is
`NotTls`, with the reason; what may still become one is `Incomplete`.
"""

from __future__ import annotations

MOST = 32 * 1024  # bytes of records before a ClientHello is whole; with ML-KEM shares it has 2 KiB
MOST_RECORDS = 64  # that it comes in, so that reading it anew with each byte stays cheap

_HANDSHAKE, _CLIENT_HELLO = 22, 1  # RFC 8446 §5.1, §4
_SERVER_NAME, _ALPN = 0, 16  # RFC 6066 §3, RFC 7301 §3.1
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
    client's order."""

    __slots__ = ("alpn", "server_name")

    def __init__(self, server_name: str | None, alpn: tuple[str, ...]) -> None:
        self.server_name = server_name
        self.alpn = alpn

    def __repr__(self) -> str:
        return f"<ClientHello {self.server_name} {', '.join(self.alpn)}>"


def client_hello(data: bytes) -> ClientHello:
    """Of a connection's first bytes; raises Incomplete or NotTls."""
    message = _Reader(_handshake(data))
    message.skip(2 + 32)  # legacy_version, random
    message.vector(1)  # legacy_session_id
    message.vector(2)  # cipher_suites
    message.vector(1)  # legacy_compression_methods
    name: str | None = None
    alpn: tuple[str, ...] = ()
    extensions = _Reader(message.vector(2) if message.more() else b"")
    while extensions.more():
        kind, said = extensions.number(2), extensions.vector(2)
        if kind == _SERVER_NAME:
            name = _server_name(_Reader(said))
        elif kind == _ALPN:
            alpn = _protocols(_Reader(said))
    return ClientHello(name, alpn)


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
        _check_record(data[at : at + 5])
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        message += data[at + 5 : at + 5 + size]
        if message[:1] not in (b"", b"\x01"):
            raise NotTls("the handshake does not begin with a ClientHello")
        whole = 4 + int.from_bytes(message[1:4], "big")
        if len(message) >= 4 and whole > MOST:
            raise NotTls("the ClientHello is too large")
        if len(message) >= max(whole, 5):
            return message[4:whole]
        at += 5 + size
        if at >= len(data):
            if at > MOST:
                raise NotTls("the ClientHello is too large")
            raise Incomplete
    raise NotTls("the ClientHello comes in too many records")


def _check_record(head: bytes) -> None:
    """Of a handshake; a head that has come in part is judged by that."""
    if head[:1] not in (b"", b"\x16"):
        raise NotTls("not a TLS handshake")
    if head[1:2] not in (b"", b"\x03"):
        raise NotTls("an unknown version of TLS records")
    if len(head) < 5:
        raise Incomplete
    size = int.from_bytes(head[3:], "big")
    if not 0 < size <= _LONGEST_RECORD:
        raise NotTls("a TLS record of a size that there is not")


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
        return int.from_bytes(self.skip(size), "big")

    def vector(self, prefix: int) -> bytes:
        return self.skip(self.number(prefix))

    def done(self) -> None:
        if self.more():
            raise NotTls("the ClientHello has bytes that mean nothing")
