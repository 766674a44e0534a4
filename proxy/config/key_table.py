"""KeyTable: the keys of one file as bytes, in which one is found without reading the others.

The hub packs it, each worker looks things up in it as it came: 100,000 keys are no objects of
Python there, and need no time when a configuration is changed. Digests are sorted, and spread
evenly by nature, so that the first bits of one lead to the few among which it stands. What keys
may have in common, their owner, is there once.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from struct import Struct as Layout

import msgspec

NEVER = float("inf")

# Unix seconds when it expires, whether it is disabled, the number of its owner.
Entry = tuple[float, bool, int]

_DIGEST = 32  # bytes of SHA-256
_HEAD = Layout("<III")  # how many keys, how many owners, how many bits lead to a bucket
_ENTRY = Layout("<d?I")
_PARTS = 256


class Owner(msgspec.Struct, frozen=True, array_like=True):
    """Whose keys are, and for what."""

    name: str
    scopes: tuple[str, ...] = ()


class Key(msgspec.Struct, frozen=True):
    """What the file says of a key."""

    owner: Owner
    expires: float = NEVER
    disabled: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Owner).decode
_entry = _ENTRY.unpack_from


def pack(keys: Iterable[tuple[bytes, Key]]) -> bytes:
    """The table of (SHA-256 of the key, Key); no digest may come twice."""
    # In parts: to sort all of 100,000 at once would keep other threads waiting for 60 ms.
    parts: list[list[tuple[bytes, bytes]]] = [[] for _ in range(_PARTS)]
    owners: dict[bytes, int] = {}
    count = 0
    for digest, key in keys:
        owner = owners.setdefault(_encode(key.owner), len(owners))
        parts[digest[0]].append((digest, _ENTRY.pack(key.expires, key.disabled, owner)))
        count += 1
    bits = min(max(count.bit_length() - 1, 0), 24)
    starts = array("I")
    digests: list[bytes] = []  # of a part each, as one join of all would take 24 ms
    entries: list[bytes] = []
    place = 0
    for part in parts:
        part.sort()
        for digest, _ in part:
            bucket = int.from_bytes(digest[:4], "big") >> (32 - bits)
            while len(starts) <= bucket:
                starts.append(place)
            place += 1
        digests.append(b"".join([digest for digest, _ in part]))
        entries.append(b"".join([entry for _, entry in part]))
        part.clear()
    while len(starts) <= 1 << bits:
        starts.append(count)
    ends = array("I", [0])
    for body in owners:
        ends.append(ends[-1] + len(body))
    head = _HEAD.pack(count, len(owners), bits)
    return b"".join([head, starts.tobytes(), ends.tobytes(), *digests, *entries, *owners])


class KeyTable:
    """What `pack` has made."""

    __slots__ = ("_digests", "_ends", "_entries", "_owners", "_packed", "_shift", "_starts")

    def __init__(self, packed: bytes) -> None:
        self._packed = packed
        count, owners, bits = _HEAD.unpack_from(packed)
        self._shift = 32 - bits
        view, at = memoryview(packed), _HEAD.size
        self._starts = view[at : (at := at + 4 * ((1 << bits) + 1))].cast("I")
        self._ends = view[at : (at := at + 4 * (owners + 1))].cast("I")
        self._digests = at
        self._entries = at + count * _DIGEST
        self._owners = self._entries + count * _ENTRY.size

    def find(self, digest: bytes) -> Entry | None:
        """Of the key with that SHA-256."""
        bucket = int.from_bytes(digest[:4]) >> self._shift
        start = self._digests + self._starts[bucket] * _DIGEST
        end = self._digests + self._starts[bucket + 1] * _DIGEST
        # One that stood across two others would be found too, but nobody can make such a hash.
        at = self._packed.find(digest, start, end)
        if at < 0:
            return None
        return _entry(self._packed, self._entries + (at - self._digests) // _DIGEST * _ENTRY.size)

    def owner(self, number: int) -> Owner:
        """The one with the number that an Entry has."""
        start, end = self._ends[number], self._ends[number + 1]
        return _decode(self._packed[self._owners + start : self._owners + end])
