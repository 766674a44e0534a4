"""The PROXY protocol, versions 1 and 2: who a connection is made for, said in its first bytes.

Read byte by byte as they come, within fixed bounds, and never guessed: what is not exactly a header
is an error. Source: haproxy doc/proxy-protocol.txt ("the specification" below), section numbers of
revision 2020/03/05.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

Place = tuple[str, int]  # IP address, port

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"  # §2.2
LOCAL = SIGNATURE + b"\x20\0\0\0"  # version 2: from the sender itself, such as a health check
UNKNOWN = b"PROXY UNKNOWN\r\n"  # the same in version 1, which has no other word for it
MOST_V1 = 107  # bytes with CRLF, §2.1
MOST_V2 = 4096  # bytes; nginx reads as many. The length field could say 64 KiB
MOST_UNIQUE_ID = 128  # bytes, §2.2.5

_LINE = re.compile(rb"PROXY (TCP4|TCP6) (\S+) (\S+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\r\n")
_HEAD = struct.Struct("!12sBBH")
_TLV = struct.Struct("!BH")
_AUTHORITY, _CRC32C, _NOOP, _UNIQUE_ID, _SSL = 0x02, 0x03, 0x04, 0x05, 0x20
_INET, _INET6, _UNIX, _UNSPEC = 0x11, 0x21, 0x31, 0x00
_SIZES = {_UNSPEC: 0, _INET: 12, _INET6: 36, _UNIX: 216}  # bytes of addresses, §2.2


class ProxyHeaderError(Exception):
    """What came is no header; `reason` is one word for a metric."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


class ProxyHeader(NamedTuple):
    """What a header says. Without a source the connection's own addresses count (LOCAL, UNKNOWN);
    `is_unix`: the client came by a Unix socket."""

    source: Place | None = None
    destination: Place | None = None
    is_unix: bool = False
    unique_id: bytes = b""


class ProxyHeaderReader:
    """Reads the header of one connection."""

    __slots__ = ("_data", "rest")

    def __init__(self) -> None:
        self._data = b""
        self.rest = b""  # what came behind the header

    def feed(self, data: bytes) -> ProxyHeader | None:
        """The header once it is complete; ProxyHeaderError as soon as it cannot become one."""
        data = self._data = self._data + data
        if SIGNATURE.startswith(data[:12]):
            size = _size_v2(data)
            if not size or len(data) < size:
                return None
            header = _read_v2(data[:size])
        elif b"PROXY ".startswith(data[:6]):
            size = data.find(b"\r\n", 0, MOST_V1) + 2
            if size < 2:
                if len(data) >= MOST_V1:
                    raise ProxyHeaderError("malformed", "a line of version 1 has at most 107 bytes")
                return None
            header = _read_v1(data[:size])
        else:
            raise ProxyHeaderError("missing", "the connection does not begin with a PROXY header")
        self.rest, self._data = data[size:], b""
        return header


def encode(version: str, source: Place | None, destination: Place | None) -> bytes:
    """The header of `version` "v1" or "v2" for a connection from `source` to `destination`; None =
    neither is known. Addresses of both families are told as IPv6 (§2.1, §2.2)."""
    if source is None or destination is None:
        return UNKNOWN if version == "v1" else SIGNATURE + bytes((0x21, _UNSPEC, 0, 0))
    ours, theirs = ip_address(source[0]), ip_address(destination[0])
    if ours.version != theirs.version:
        ours, theirs = _as_ipv6(ours), _as_ipv6(theirs)
    if version == "v1":
        kind = f"TCP{4 if ours.version == 4 else 6}"
        return f"PROXY {kind} {ours} {theirs} {source[1]} {destination[1]}\r\n".encode("ascii")
    packed = ours.packed + theirs.packed + struct.pack("!HH", source[1], destination[1])
    family = _INET if ours.version == 4 else _INET6
    return _HEAD.pack(SIGNATURE, 0x21, family, len(packed)) + packed


def crc32c(data: bytes) -> int:
    """The CRC of RFC 3720 appendix B.4, which PP2_TYPE_CRC32C has."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _make_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_TABLE = _make_table()


def _as_ipv6(address: IPv4Address | IPv6Address) -> IPv6Address:
    return address if isinstance(address, IPv6Address) else IPv6Address(f"::ffff:{address}")


def _read_v1(line: bytes) -> ProxyHeader:
    """§2.1: single spaces, no leading zeros, one family."""
    if line.startswith(b"PROXY UNKNOWN") and line[13:14] in (b" ", b"\r"):
        return ProxyHeader()
    found = _LINE.fullmatch(line)
    if found is None:
        raise ProxyHeaderError("malformed", "this is no line of version 1")
    kind = IPv4Address if found[1] == b"TCP4" else IPv6Address
    ports = int(found[4]), int(found[5])
    try:
        source, destination = (_address(kind, text) for text in found.group(2, 3))
    except ValueError as error:
        raise ProxyHeaderError("malformed", f"version 1 has a bad address: {error}") from None
    if max(ports) > 65535:
        raise ProxyHeaderError("malformed", "version 1 has a port above 65535")
    return ProxyHeader((source, ports[0]), (destination, ports[1]))


def _address(kind: type[IPv4Address] | type[IPv6Address], text: bytes) -> str:
    if b"%" in text:
        raise AddressValueError("a zone means nothing here")
    return _shown(kind(text.decode("ascii", "replace")))


def _shown(address: IPv4Address | IPv6Address) -> str:
    """IPv4 in IPv6 is IPv4, as everywhere."""
    return str((address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address)


def _size_v2(data: bytes) -> int:
    """Bytes of the whole header; 0 = not known yet."""
    if len(data) > 12 and data[12] not in (0x20, 0x21):
        raise ProxyHeaderError("malformed", f"version and command 0x{data[12]:02x} are not known")
    if len(data) < _HEAD.size:
        return 0
    size = _HEAD.size + int(_HEAD.unpack_from(data)[3])
    if size > MOST_V2:
        raise ProxyHeaderError("malformed", f"a header of {size} bytes is too long")
    return size


def _read_v2(data: bytes) -> ProxyHeader:
    """§2.2; `data` is exactly the header."""
    _, command, family, _ = _HEAD.unpack_from(data)
    if command == 0x20:
        return ProxyHeader()  # LOCAL: all else is to be ignored
    size = _SIZES.get(family)
    if size is None:
        raise ProxyHeaderError("unsupported", f"family and protocol 0x{family:02x} are not TCP")
    end = _HEAD.size + size
    if len(data) < end:
        raise ProxyHeaderError("malformed", "the header is shorter than its addresses")
    unique_id = _read_tlvs(data, end)
    if family == _INET:
        source, destination, *ports = struct.unpack_from("!4s4sHH", data, _HEAD.size)
        places = str(IPv4Address(source)), str(IPv4Address(destination))
    elif family == _INET6:
        source, destination, *ports = struct.unpack_from("!16s16sHH", data, _HEAD.size)
        places = _shown(IPv6Address(source)), _shown(IPv6Address(destination))
    else:
        return ProxyHeader(is_unix=family == _UNIX, unique_id=unique_id)
    return ProxyHeader((places[0], ports[0]), (places[1], ports[1]), unique_id=unique_id)


def _read_tlvs(data: bytes, start: int) -> bytes:
    """Check all that follow the addresses (§2.2.1 to §2.2.8); the unique id."""
    unique_id = b""
    seen: set[int] = set()
    for kind, place, value in _tlvs(data, start, len(data)):
        if kind in (_CRC32C, _UNIQUE_ID) and kind in seen:
            raise ProxyHeaderError("malformed", f"TLV 0x{kind:02x} comes twice")
        seen.add(kind)
        if kind == _CRC32C:
            _check_sum(data, place, value)
        elif kind == _UNIQUE_ID:
            if len(value) > MOST_UNIQUE_ID:
                raise ProxyHeaderError("malformed", "the unique id is longer than 128 bytes")
            unique_id = value
        elif kind == _SSL:
            if len(value) < 5:  # client, verify
                raise ProxyHeaderError("malformed", "the TLV about TLS is too short")
            for _ in _tlvs(data, place + 5, place + len(value)):
                pass
    return unique_id


def _tlvs(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, bytes]]:
    """(type, where its value begins, value) of each that lies between `start` and `end`."""
    while start < end:
        if start + _TLV.size > end:
            raise ProxyHeaderError("malformed", "a TLV is cut off")
        kind, length = _TLV.unpack_from(data, start)
        start += _TLV.size
        if start + length > end:
            raise ProxyHeaderError("malformed", f"TLV 0x{kind:02x} is longer than the header")
        yield kind, start, data[start : start + length]
        start += length


def _check_sum(data: bytes, place: int, value: bytes) -> None:
    """§2.2.3: over the whole header, the sum itself taken as zeros."""
    if len(value) != 4:
        raise ProxyHeaderError("malformed", "a checksum has four bytes")
    if crc32c(data[:place] + bytes(4) + data[place + 4 :]) != int.from_bytes(value, "big"):
        raise ProxyHeaderError("checksum", "the checksum is wrong")
