"""KeyTable: the keys of one file as bytes, in which one is found without reading the others.

The hub packs it, each worker looks things up in it as it came: 100,000 keys are no objects of
Python there, need no time when a configuration is changed, and 7 MB instead of 30. Digests are
sorted, and spread evenly by nature, so that the first bits of one lead to where it stands.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from struct import Struct as Layout

import msgspec

DIGEST = 32  # bytes of SHA-256

_HEAD = Layout("<II")  # how many keys, how many bits lead to a bucket
_PARTS = 256


class Key(msgspec.Struct, frozen=True, array_like=True):
    """What the file says of a key."""

    name: str  # whose it is
    expires: float = 0.0  # Unix seconds, 0 = never
    disabled: bool = False
    scopes: tuple[str, ...] = ()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Key).decode


def pack(keys: Iterable[tuple[bytes, Key]]) -> bytes:
    """The table of (SHA-256 of the key, Key); no digest may come twice."""
    # In parts: to sort all of 100,000 at once would keep other threads waiting for 60 ms.
    parts: list[list[tuple[bytes, bytes]]] = [[] for _ in range(_PARTS)]
    count = 0
    for digest, key in keys:
        parts[digest[0]].append((digest, _encode(key)))
        count += 1
    bits = min(max(count.bit_length() - 1, 0), 24)
    starts, ends = array("I"), array("I", [0])
    digests: list[bytes] = []  # of a part each, as one join of all would take 24 ms
    bodies: list[bytes] = []
    for part in parts:
        part.sort()
        for digest, body in part:
            bucket = int.from_bytes(digest[:4], "big") >> (32 - bits)
            while len(starts) <= bucket:
                starts.append(len(ends) - 1)
            ends.append(ends[-1] + len(body))
        digests.append(b"".join([digest for digest, _ in part]))
        bodies.append(b"".join([body for _, body in part]))
        part.clear()
    while len(starts) <= 1 << bits:
        starts.append(count)
    head = (_HEAD.pack(count, bits), starts.tobytes(), ends.tobytes())
    return b"".join([*head, *digests, *bodies])


class KeyTable:
    """What `pack` has made."""

    __slots__ = ("_bodies", "_digests", "_ends", "_packed", "_shift", "_starts")

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        count, bits = _HEAD.unpack_from(packed)
        self._shift = 32 - bits
        view, at = memoryview(packed), _HEAD.size
        self._starts = view[at : (at := at + 4 * ((1 << bits) + 1))].cast("I")
        self._ends = view[at : (at := at + 4 * (count + 1))].cast("I")
        self._digests = at
        self._bodies = at + count * DIGEST

    def find(self, digest: bytes) -> Key | None:
        """Of the key with that SHA-256."""
        bucket = int.from_bytes(digest[:4], "big") >> self._shift
        for place in range(self._starts[bucket], self._starts[bucket + 1]):
            at = self._digests + place * DIGEST
            if self._packed[at : at + DIGEST] == digest:
                start, end = self._ends[place], self._ends[place + 1]
                return _decode(self._packed[self._bodies + start : self._bodies + end])
        return None
