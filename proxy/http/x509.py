"""What a mesh must know of a certificate and `ssl` does not tell: read from its DER, without any
library, because a worker loads none (RFC 5280 §4.1, X.690).

The bytes are of a chain that OpenSSL has verified, and are held to be hostile all the same: any
bytes are facts or a ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_SEQUENCE, _BOOLEAN, _BIT_STRING, _OCTETS, _OID = 0x30, 0x01, 0x03, 0x04, 0x06
_VERSION, _EXTENSIONS, _URI = 0xA0, 0xA3, 0x86
_ALT_NAME, _CONSTRAINTS, _USAGE = b"\x55\x1d\x11", b"\x55\x1d\x13", b"\x55\x1d\x0f"

# Bits of KeyUsage (RFC 5280 §4.2.1.3), the first of its bytes.
DIGITAL_SIGNATURE, KEY_CERT_SIGN, CRL_SIGN = 0x80, 0x04, 0x02


class Facts(NamedTuple):
    """Of one certificate."""

    uris: tuple[str, ...]  # of its subjectAltName
    is_ca: bool
    usage: int | None  # bits of KeyUsage, None = it has none


Piece = tuple[int, int, int]  # tag, and where its content begins and ends


def facts(der: bytes) -> Facts:
    """Raises ValueError for what is no certificate."""
    outer = _only(der, 0, len(der), _SEQUENCE)
    parts = list(_pieces(der, *_within(der, *outer)))
    uris: tuple[str, ...] = ()
    is_ca, usage = False, None
    seen: set[bytes] = set()
    for oid, start, end in _extensions(der, parts):
        if oid in seen:
            raise ValueError("an extension is there twice")  # RFC 5280 §4.2
        seen.add(oid)
        if oid == _ALT_NAME:
            uris = _uris(der, start, end)
        elif oid == _CONSTRAINTS:
            is_ca = _is_ca(der, start, end)
        elif oid == _USAGE:
            usage = _bits(der, start, end)
    return Facts(uris, is_ca, usage)


def _within(der: bytes, start: int, end: int) -> tuple[int, int]:
    """tbsCertificate, of the three parts of a certificate."""
    tag, begin, stop = next(_pieces(der, start, end), (0, 0, 0))
    if tag != _SEQUENCE:
        raise ValueError("it is no certificate")
    return begin, stop


def _extensions(der: bytes, parts: list[Piece]) -> Iterator[tuple[bytes, int, int]]:
    """Each one's OID, and where its value begins and ends."""
    for tag, start, end in parts:
        if tag != _EXTENSIONS:
            continue
        for kind, begin, stop in _pieces(der, *_only(der, start, end, _SEQUENCE)):
            pieces = list(_pieces(der, begin, stop))
            if kind != _SEQUENCE or len(pieces) not in (2, 3) or pieces[0][0] != _OID:
                raise ValueError("an extension is malformed")
            if pieces[-1][0] != _OCTETS or (len(pieces) == 3 and pieces[1][0] != _BOOLEAN):
                raise ValueError("an extension is malformed")
            yield der[pieces[0][1] : pieces[0][2]], pieces[-1][1], pieces[-1][2]


def _uris(der: bytes, start: int, end: int) -> tuple[str, ...]:
    names = _pieces(der, *_only(der, start, end, _SEQUENCE))
    # What is no ASCII is no SPIFFE ID either; it still counts as one of them.
    return tuple(der[at:to].decode("ascii", "replace") for tag, at, to in names if tag == _URI)


def _is_ca(der: bytes, start: int, end: int) -> bool:
    first = next(_pieces(der, *_only(der, start, end, _SEQUENCE)), None)
    if first is None or first[0] != _BOOLEAN:
        return False
    return any(der[first[1] : first[2]])


def _bits(der: bytes, start: int, end: int) -> int:
    at, to = _only(der, start, end, _BIT_STRING)
    return der[at + 1] if to - at > 1 else 0  # its first byte counts the bits that are not used


def _only(der: bytes, start: int, end: int, wanted: int) -> tuple[int, int]:
    """The content of the one piece that is there."""
    found = list(_pieces(der, start, end))
    if len(found) != 1 or found[0][0] != wanted:
        raise ValueError("it is not what a certificate has there")
    return found[0][1], found[0][2]


def _pieces(der: bytes, start: int, end: int) -> Iterator[Piece]:
    """What stands there, one after the other."""
    while start < end:
        if end - start < 2:
            raise ValueError("it is cut off")
        tag, size = der[start], der[start + 1]
        start += 2
        if tag & 0x1F == 0x1F:
            raise ValueError("it has a tag that no certificate has")
        if size >= 0x80:
            count = size - 0x80
            if not 0 < count <= 4 or end - start < count:
                raise ValueError("it has no length")
            size = int.from_bytes(der[start : start + count], "big")
            start += count
        if end - start < size:
            raise ValueError("it is cut off")
        yield tag, start, start + size
        start += size
