"""Index: what is known of one file without reading it: its time, its traces, and which matter.

It is made while records are written, and put beside the file when that is full. What is beside a
file and does not fit it is not believed; then it is made anew from the records.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Container, Iterable

import msgspec

from proxy.kernel.spanscan import Judge, select
from proxy.recent.ring import Stored

PREFIX = 8  # bytes of a trace id; others that begin so cost a look and nothing else
FEW = 8  # traces that are looked for one by one: 0.04 ms each in the ids of 16 MiB
_ENTRY = struct.Struct(f"<{PREFIX}sI")
_TRACE_OF = {"traces": 1, "logs": 9}  # the field of a span, or record, with its trace id
MOST_WORTH = 4096  # traces of one file


class Index(msgspec.Struct, array_like=True):
    """Of one file. Times are those of storing, Unix ns."""

    run: int
    first: int = 0
    last: int = 0
    size: int = 0  # bytes of the file
    spans: int = 0
    number: int = 0  # of the last batch
    ids: bytes = b""  # (the beginning of a trace's id, where a record with it begins)
    worth: list[bytes] = []  # traces that failed or were slow

    def offsets(self, ids: Collection[bytes]) -> list[int]:
        """Where records begin that may hold something of these traces."""
        prefixes = {trace_id[:PREFIX] for trace_id in ids}
        if len(prefixes) > FEW:
            return sorted({at for prefix, at in _ENTRY.iter_unpack(self.ids) if prefix in prefixes})
        found: set[int] = set()
        for prefix in prefixes:
            at = self.ids.find(prefix)
            while at >= 0:
                if at % _ENTRY.size == 0:
                    found.add(_ENTRY.unpack_from(self.ids, at)[1])
                at = self.ids.find(prefix, at + 1)
        return sorted(found)

    def without_ids(self) -> Index:
        """What is kept in memory of a file that is full: the ids are 90 kB of 16 MiB."""
        return msgspec.structs.replace(self, ids=b"")


class Noting(Container[bytes]):
    """Wants nothing, and knows what it was asked for."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        self.asked: set[bytes] = set()

    def __contains__(self, trace_id: object) -> bool:
        assert isinstance(trace_id, bytes)
        self.asked.add(trace_id)
        return False


class Indexer:
    """Makes the index of one file. `judge` has seen what came before."""

    __slots__ = ("_ids", "_judge", "_worth", "index")

    def __init__(self, run: int, judge: Judge) -> None:
        self._judge = judge
        self._ids = bytearray()
        self._worth: dict[bytes, None] = {}
        self.index = Index(run)  # without ids; grows

    def whole(self) -> Index:
        """As it is by now."""
        return msgspec.structs.replace(self.index, ids=bytes(self._ids))

    def note(self, stored: Stored, at: int, end: int) -> None:
        """That batch is from `at` to `end`."""
        index = self.index
        index.first = index.first or stored.at
        index.last = max(index.last, stored.at)
        index.size = end
        index.number = max(index.number, stored.number)
        noting = Noting()
        for _, _, buf, begin, stop in stored.parts():
            select(buf, begin, stop, _TRACE_OF[stored.signal], noting)
            if stored.signal == "traces":
                self._note_worth(self._judge.look(buf, begin, stop))
        noting.asked.discard(b"")
        for trace_id in noting.asked:
            self._ids += _ENTRY.pack(trace_id[:PREFIX], at)
        if stored.signal == "traces":
            index.spans += stored.items

    def _note_worth(self, ids: Iterable[bytes]) -> None:
        for trace_id in ids:
            if len(self._worth) < MOST_WORTH and trace_id not in self._worth:
                self._worth[trace_id] = None
                self.index.worth.append(trace_id)


def encode(index: Index) -> bytes:
    """As it is put beside a file."""
    data = msgspec.msgpack.encode(index)
    return zlib.crc32(data).to_bytes(4, "little") + data


def decode(data: bytes) -> Index | None:
    """None for what is none."""
    if len(data) < 4 or zlib.crc32(data[4:]) != int.from_bytes(data[:4], "little"):
        return None
    try:
        return msgspec.msgpack.decode(data[4:], type=Index)
    except msgspec.DecodeError:
        return None
