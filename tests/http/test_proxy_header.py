"""PROXY headers of both versions: the specification's examples, what is refused, any cuts."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.proxy_header import (
    LOCAL,
    SIGNATURE,
    UNKNOWN,
    ProxyHeader,
    ProxyHeaderError,
    ProxyHeaderReader,
    crc32c,
    encode,
)

V4 = bytes((192, 0, 2, 1, 198, 51, 100, 1)) + struct.pack("!HH", 56324, 443)
V6 = bytes.fromhex("20010db8" + "0" * 23 + "1" + "20010db8" + "0" * 23 + "2") + b"\x01\xbb\x01\xbc"


def v2(family: int, addresses: bytes, tlvs: bytes = b"", command: int = 0x21) -> bytes:
    body = addresses + tlvs
    return SIGNATURE + struct.pack("!BBH", command, family, len(body)) + body


def tlv(kind: int, value: bytes) -> bytes:
    return struct.pack("!BH", kind, len(value)) + value


def summed(header: bytes) -> bytes:
    """`header`, whose last TLV is a checksum of zeros, with the right one."""
    return header[:-4] + crc32c(header).to_bytes(4, "big")


SUM = tlv(3, bytes(4))
CLIENT = ProxyHeader(("192.0.2.1", 56324), ("198.51.100.1", 443))
GOOD = {
    "v1, IPv4": (b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", CLIENT),
    "v1, IPv6": (
        b"PROXY TCP6 2001:db8::1 2001:DB8::2 0 65535\r\n",
        ProxyHeader(("2001:db8::1", 0), ("2001:db8::2", 65535)),
    ),
    "v1, the longest": (
        b"PROXY TCP6 %s %s 65535 65535\r\n" % ((b"ffff:" * 8)[:-1], (b"ffff:" * 8)[:-1]),
        ProxyHeader((("ffff:" * 8)[:-1], 65535), (("ffff:" * 8)[:-1], 65535)),
    ),
    "v1, unknown": (UNKNOWN, ProxyHeader()),
    "v1, unknown and more": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ProxyHeader()),
    "v1, mapped": (
        b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 56324 443\r\n",
        CLIENT,
    ),
    "v2, IPv4": (v2(0x11, V4), CLIENT),
    "v2, IPv6": (v2(0x21, V6), ProxyHeader(("2001:db8::1", 443), ("2001:db8::2", 444))),
    "v2, Unix": (v2(0x31, b"/run/a".ljust(108, b"\0") * 2), ProxyHeader(is_unix=True)),
    "v2, local": (LOCAL, ProxyHeader()),
    "v2, local with whatever": (v2(0x99, b"\xff" * 99, command=0x20), ProxyHeader()),
    "v2, of no family": (v2(0, b"", tlv(4, b"xx")), ProxyHeader()),
    "v2, unique id": (v2(0x11, V4, tlv(5, b"id-1")), CLIENT._replace(unique_id=b"id-1")),
    "v2, TLS": (v2(0x11, V4, tlv(0x20, b"\1\0\0\0\0" + tlv(0x21, b"TLSv1.3"))), CLIENT),
    "v2, checksum": (summed(v2(0x11, V4, tlv(1, b"h2") + SUM)), CLIENT),
    "v2, unknown TLV": (v2(0x11, V4, tlv(0xEA, b"\1vpce-1")), CLIENT),
}
BAD = {
    "HTTP": (b"GET / HTTP/1.1\r\n", "missing"),
    "a TLS hello": (b"\x16\x03\x01\x02\x00", "missing"),
    "the proxy in small letters": (b"proxy TCP4", "missing"),
    "v1, two spaces": (b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "malformed"),
    "v1, a space at the end": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "malformed"),
    "v1, other family": (b"PROXY TCP4 ::1 ::1 1 2\r\n", "malformed"),
    "v1, a port with zeros": (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "malformed"),
    "v1, a port too high": (b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", "malformed"),
    "v1, an address with zeros": (b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", "malformed"),
    "v1, a zone": (b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", "malformed"),
    "v1, a name": (b"PROXY TCP4 localhost 1.2.3.4 1 2\r\n", "malformed"),
    "v1, UDP": (b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", "malformed"),
    "v1, unknown and letters": (b"PROXY UNKNOWNX\r\n", "malformed"),
    "v1, no end": (b"PROXY UNKNOWN " + b"x" * 93, "malformed"),
    "v1, LF alone": (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + b"x" * 90, "malformed"),
    "v2, version 1": (SIGNATURE + b"\x11", "malformed"),
    "v2, other command": (SIGNATURE + b"\x22", "malformed"),
    "v2, UDP": (v2(0x12, V4), "unsupported"),
    "v2, datagrams of Unix": (v2(0x32, bytes(216)), "unsupported"),
    "v2, no such family": (v2(0x41, V4), "unsupported"),
    "v2, too short": (v2(0x11, V4[:-1]), "malformed"),
    "v2, too long": (SIGNATURE + b"\x21\x11\x10\x00", "malformed"),
    "v2, half a TLV": (v2(0x11, V4, b"\5\0"), "malformed"),
    "v2, a TLV beyond the end": (v2(0x11, V4, b"\5\0\2x"), "malformed"),
    "v2, a long id": (v2(0x11, V4, tlv(5, b"x" * 129)), "malformed"),
    "v2, two ids": (v2(0x11, V4, tlv(5, b"a") + tlv(5, b"b")), "malformed"),
    "v2, TLS too short": (v2(0x11, V4, tlv(0x20, b"\1")), "malformed"),
    "v2, a TLV within TLS": (v2(0x11, V4, tlv(0x20, b"\1\0\0\0\0\x21\0\7TLS")), "malformed"),
    "v2, wrong sum": (v2(0x11, V4, SUM), "checksum"),
    "v2, short sum": (v2(0x11, V4, tlv(3, b"\0")), "malformed"),
    "v2, two sums": (v2(0x11, V4, summed(v2(0x11, V4, SUM))[-7:] + SUM), "checksum"),
}


@pytest.mark.parametrize(("data", "header"), GOOD.values(), ids=GOOD.keys())
def test_what_a_header_says(data: bytes, header: ProxyHeader) -> None:
    reader = ProxyHeaderReader()
    assert reader.feed(data + b"GET /") == header
    assert reader.rest == b"GET /"


@pytest.mark.parametrize("data", [data for data, _ in GOOD.values()], ids=GOOD.keys())
def test_byte_by_byte(data: bytes) -> None:
    reader = ProxyHeaderReader()
    found = [reader.feed(data[i : i + 1]) for i in range(len(data))]
    assert found[:-1] == [None] * (len(data) - 1) and found[-1] is not None
    assert reader.rest == b""


@pytest.mark.parametrize(("data", "reason"), BAD.values(), ids=BAD.keys())
def test_what_is_no_header(data: bytes, reason: str) -> None:
    with pytest.raises(ProxyHeaderError) as raised:
        ProxyHeaderReader().feed(data)
    assert raised.value.reason == reason and str(raised.value)


def test_it_is_told_from_the_first_byte_that_differs() -> None:
    with pytest.raises(ProxyHeaderError):
        ProxyHeaderReader().feed(b"G")
    reader = ProxyHeaderReader()
    assert reader.feed(b"P") is None
    with pytest.raises(ProxyHeaderError):
        reader.feed(b"OST / HTTP/1.1\r\n")


def test_the_sum_is_that_of_the_rfc() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720 appendix B.4


ADDRESS = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
PLACE = st.tuples(ADDRESS, st.integers(0, 65535))


@given(st.sampled_from(["v1", "v2"]), PLACE, PLACE, st.binary(max_size=20))
def test_what_is_written_is_read(
    version: str, source: tuple[str, int], destination: tuple[str, int], rest: bytes
) -> None:
    reader = ProxyHeaderReader()
    header = reader.feed(encode(version, source, destination) + rest)
    assert header is not None and header.source is not None and header.destination is not None
    assert header.source[1] == source[1] and header.destination[1] == destination[1]
    assert reader.rest == rest
    again = ProxyHeaderReader().feed(encode(version, header.source, header.destination))
    assert again == header  # mapped addresses are IPv4 by now


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_nobody_is_written_too(version: str) -> None:
    assert ProxyHeaderReader().feed(encode(version, None, None)) == ProxyHeader()


@given(
    st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", SIGNATURE, SIGNATURE + b"\x21\x11"])
)
def test_whatever_comes_is_a_header_an_error_or_a_beginning(data: bytes, start: bytes) -> None:
    whole, cut = ProxyHeaderReader(), ProxyHeaderReader()
    try:
        expected = whole.feed(start + data)
    except ProxyHeaderError as error:
        with pytest.raises(ProxyHeaderError) as raised:
            for i in range(len(start + data)):
                assert cut.feed((start + data)[i : i + 1]) is None
        assert raised.value.reason == error.reason
        return
    size = len(start + data) - len(whole.rest) if expected is not None else len(start + data)
    found = None
    for i in range(size):
        assert found is None
        found = cut.feed((start + data)[i : i + 1])
    assert found == expected
