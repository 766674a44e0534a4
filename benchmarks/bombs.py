"""Requests that are small on the wire and large for whoever reads them, one of each kind.

Made here for everybody who measures or tests what they do: `bombs()` has them for the receivers
with HTTP, `packets()` for Jaeger's UDP. Nothing is sent here.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

MIB = 1024 * 1024
MOST = 64 * MIB  # max_request_size of the receiver `otlp`, by default

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
GZIP = {"Content-Encoding": "gzip"}
THRIFT = {"Content-Type": "application/x-thrift"}
SNAPPY = {"Content-Encoding": "snappy"}


class Bomb(NamedTuple):
    """One request to the receiver of that type, with a name for tables."""

    name: str
    path: str
    headers: dict[str, str]
    body: bytes
    receiver: str = "otlp"


def bombs(most: int = MOST) -> Iterator[Bomb]:
    """All of them; the largest become nearly `most` bytes."""
    yield from _otlp_json(most)
    yield from _otlp_protobuf(most)
    yield from _zipkin(min(most, 10 * MIB))
    yield from _jaeger(min(most, 4 * MIB))
    yield from _remote_write(min(most, 32 * MIB))


def packets() -> Iterator[tuple[str, bytes]]:
    """Datagrams for the receiver `jaeger`, compact protocol: (name, bytes)."""
    head = b"\x82\x21\x01\x09emitBatch\x1c"
    process = b"\x1c\x18\x01s\x00"
    yield "empty spans", head + process + b"\x19\xfc" + varint(60_000) + bytes(60_000)
    yield "unknown fields", head + b"\x31\x00" * 30_000
    yield "nested lists", head + b"\x19" + b"\x19" * 60_000


def _otlp_json(most: int) -> Iterator[Bomb]:
    headers = {**JSON, **GZIP}
    texts: dict[str, Callable[[], bytes]] = {
        "empty objects": lambda: _repeated(b'{"x":[', b"{},", most, b"{}]}"),
        "empty resources": lambda: _repeated(b'{"resourceSpans":[', b"{},", most, b"{}]}"),
        "empty spans": lambda: _repeated(
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[', b"{},", most, b"{}]}]}]}"
        ),
        "sparse spans": lambda: _repeated(
            b'{"resourceSpans":[{"scopeSpans":[{"spans":[', b'{"kind":1      },', most, b"{}]}]}]}"
        ),
        "zeros in arrays": lambda: _repeated(b'{"x":[', b"0,", most, b"0]}"),
        "keys": lambda: _repeated(b"{", b'"a":0,', most, b'"b":0}'),
        "nested arrays": lambda: b'{"x":' + b"[" * (most // 2) + b"]" * (most // 2 - 16) + b"}",
        "nested objects": lambda: _repeated(b"", b'{"a":', most // 2, b"0"),
        "a long number": lambda: b'{"x":' + b"9" * (most - 16) + b"}",
        "a long fraction": lambda: b'{"x":1.' + b"7" * (most - 16) + b"}",
        "a long text": lambda: b'{"x":"' + b"a" * (most - 16) + b'"}',
        "a long text of escapes": lambda: _repeated(b'{"x":"', b"\\u0041", most, b'"}'),
        "blanks": lambda: b" " * (most - 2) + b"{}",
        "no JSON": lambda: bytes(most),
    }
    for name, make in texts.items():
        yield Bomb(f"JSON, {name}", "/v1/traces", headers, packed(make()))
    yield Bomb("JSON, 16 KiB of empty spans", "/v1/traces", JSON, _small_json())


def _small_json() -> bytes:
    return _repeated(b'{"resourceSpans":[{"scopeSpans":[{"spans":[', b"{},", 16_000, b"{}]}]}]}")


def _otlp_protobuf(most: int) -> Iterator[Bomb]:
    headers = {**PROTOBUF, **GZIP}
    deep = b""
    while len(deep) < 60_000:
        deep = _field(5, _field(1, deep))
    attribute = _field(1, _field(2, _field(2, _field(9, _field(1, b"k") + _field(2, deep)))))
    bodies: dict[str, Callable[[], bytes]] = {
        "zeros": lambda: bytes(most),
        "beyond the cap": lambda: bytes(16 * most),
        "empty resources": lambda: b"\x0a\x00" * (most // 2),
        "empty scopes": lambda: _nest(b"\x12\x00", most, 1),
        "empty spans": lambda: _nest(b"\x12\x00", most, 1, 2),
        "empty attributes": lambda: _nest(b"\x4a\x00", most, 1, 2, 2),
        "empty values in an array": lambda: _nest(b"\x0a\x00", most, 1, 2, 2, 9, 2, 5),
        "empty pairs in a list": lambda: _nest(b"\x0a\x00", most, 1, 2, 2, 9, 2, 6),
        "unknown fields": lambda: b"\x78\x00" * (most // 2),
        "groups": lambda: b"\x7b" * (most // 2) + b"\x7c" * (most // 2),
        "values in values": lambda: attribute,
        "a long text": lambda: _nest(_ids() + _field(5, b"a" * (most - 99)), 0, 1, 2, 2),
    }
    for name, make in bodies.items():
        yield Bomb(f"protobuf, {name}", "/v1/traces", headers, packed(make()))
    plain = b"\x0a\x00" * 120_000
    yield Bomb("protobuf, 240 KB of empty resources", "/v1/traces", PROTOBUF, plain)
    points = _nest(b"\x0a\x00", most, 1, 2, 2, 7)
    yield Bomb("protobuf, empty points", "/v1/metrics", headers, packed(points))
    records = _nest(b"\x12\x00", most, 1, 2)
    yield Bomb("protobuf, empty log records", "/v1/logs", headers, packed(records))


def _zipkin(most: int) -> Iterator[Bomb]:
    tags = b'{"traceId":"1","id":"1","tags":{'
    notes = b'{"traceId":"1","id":"1","annotations":['
    texts: dict[str, Callable[[], bytes]] = {
        "empty objects": lambda: _repeated(b"[", b"{},", most, b"{}]"),
        "nulls": lambda: _repeated(b"[", b"null,", most, b"null]"),
        "small spans": lambda: _repeated(
            b"[", b'{"traceId":"1","id":"1"},', most, b'{"traceId":"1","id":"1"}]'
        ),
        "tags": lambda: _repeated(b"[" + tags, b'"a":"",', most, b'"b":""}}]'),
        "annotations": lambda: _repeated(
            b"[" + notes, b'{"timestamp":1,"value":""},', most, b'{"timestamp":1,"value":""}]}]'
        ),
        "unknown": lambda: _repeated(b'[{"x":[', b"{},", most, b"{}]}]"),
        "nested arrays": lambda: b"[" * (most // 2) + b"]" * (most // 2),
    }
    for version in ("v2", "v1"):
        for name, make in texts.items():
            yield Bomb(
                f"Zipkin {version}, {name}",
                f"/api/{version}/spans",
                {**JSON, **GZIP},
                packed(make()),
                "zipkin",
            )
    ids = _field(1, bytes(15) + b"\1") + _field(3, bytes(7) + b"\1")
    bodies: dict[str, Callable[[], bytes]] = {
        "empty spans": lambda: b"\x0a\x00" * (most // 2),
        "small spans": lambda: _field(1, ids) * (most // 32),
        "empty tags": lambda: _field(1, ids + b"\x5a\x00" * (most // 2 - 64)),
    }
    for name, make in bodies.items():
        yield Bomb(
            f"Zipkin protobuf, {name}",
            "/api/v2/spans",
            {**PROTOBUF, **GZIP},
            packed(make()),
            "zipkin",
        )


def _jaeger(most: int) -> Iterator[Bomb]:
    process = b"\x0c\x00\x01\x0b\x00\x01\x00\x00\x00\x01s\x00"
    count = most - 64
    spans = b"\x0f\x00\x02\x0c" + struct.pack(">i", count) + bytes(count + 1)
    tags = struct.pack(">i", (most - 64) // 19)
    tag = b"\x0b\x00\x01\x00\x00\x00\x00\x08\x00\x02\x00\x00\x00\x00\x00"
    bodies: dict[str, Callable[[], bytes]] = {
        "empty spans": lambda: process + spans,
        "unknown list": lambda: (
            b"\x0f\x00\x09\x0c" + struct.pack(">i", count) + bytes(count) + process + b"\x00"
        ),
        "unknown fields": lambda: b"\x02\x00\x09\x00" * (most // 4) + process,
        "tags": lambda: (
            process[:-1]
            + b"\x0f\x00\x02\x0c"
            + tags
            + tag * ((most - 64) // 19)
            + b"\x00\x0f\x00\x02\x0c\x00\x00\x00\x00\x00"
        ),
    }
    for name, make in bodies.items():
        yield Bomb(
            f"Jaeger Thrift, {name}", "/api/traces", {**THRIFT, **GZIP}, packed(make()), "jaeger"
        )


def _remote_write(most: int) -> Iterator[Bomb]:
    v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
    series = {
        "empty series": (b"\x0a\x00" * (most // 2), PROTOBUF["Content-Type"]),
        "empty samples": (_nest(b"\x12\x00", most, 1), PROTOBUF["Content-Type"]),
        "empty labels": (_nest(b"\x0a\x00", most, 1), PROTOBUF["Content-Type"]),
        "empty symbols": (b"\x22\x00" * (most // 2), v2),
        "references": (b"\x22\x00" + _field(5, _field(1, bytes(most - 64))), v2),
    }
    for name, (body, kind) in series.items():
        headers = {**SNAPPY, "Content-Type": kind}
        yield Bomb(
            f"remote write, {name}",
            "/api/v1/write",
            headers,
            snappy(body),
            "prometheus_remote_write",
        )


def snappy(body: bytes) -> bytes:
    """Compressed; by copies of what is before, as any compressor would."""
    import cramjam

    return bytes(cramjam.snappy.compress_raw(body))


def packed(body: bytes) -> bytes:
    """gzip, as small as it gets."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    return packer.compress(body) + packer.flush()


def _repeated(head: bytes, piece: bytes, most: int, tail: bytes) -> bytes:
    return head + piece * ((most - len(head) - len(tail) - 1) // len(piece)) + tail


def _nest(piece: bytes, most: int, *numbers: int) -> bytes:
    """`most` bytes of a field over and over, in messages in these fields, the outermost first."""
    body = piece * max(1, (most - 64) // len(piece))
    for number in reversed(numbers):
        body = _field(number, body)
    return body


def _ids() -> bytes:
    return _field(1, b"t" * 16) + _field(2, b"s" * 8)


def _field(number: int, body: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(body)) + body


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def inflated(bomb: Bomb) -> int:
    """Bytes that a bomb in gzip becomes."""
    return len(gzip.decompress(bomb.body)) if "gzip" in bomb.headers.values() else len(bomb.body)
