"""Record: one batch as it stands in a file of recent telemetry.

Owns the bytes and nothing else. A header is under its own checksum, so that a length can be trusted
before the payload has been read, and a reader that is lost finds the next record by its magic. A
file begins with FILE and the number of the run, of one process, that wrote it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.recent.ring import Stored

FILE = b"SPANGATE-RECENT1"
_BEGIN = struct.Struct("<16sQ")
BEGIN = _BEGIN.size

# magic, signal, length, items, Unix ns, number, CRC-32 of the payload, CRC-32 of the header
_HEADER = struct.Struct("<4sIIIQQII")
SIZE = _HEADER.size  # 40
MAGIC = b"\xf5SRR"  # 0xf5 is in no UTF-8 text, which telemetry mostly is
LONGEST = 64 * 1024 * 1024  # bytes of a payload; what claims to be longer is none

_CODES = {"traces": 1, "logs": 3}
_SIGNALS = {code: signal for signal, code in _CODES.items()}


@dataclass(frozen=True, slots=True)
class Header:
    """What precedes a payload of `length` bytes."""

    signal: str
    length: int
    items: int
    at: int
    number: int
    crc: int

    @property
    def size(self) -> int:
        """Bytes of the record."""
        return SIZE + self.length


def beginning(run: int) -> bytes:
    """Of a file."""
    return _BEGIN.pack(FILE, run)


def run_of(data: bytes) -> int | None:
    """Who wrote the file that begins so; None: it is none of ours."""
    if len(data) < BEGIN:
        return None
    name, run = _BEGIN.unpack_from(data)
    return int(run) if name == FILE else None


def encode(stored: Stored) -> tuple[bytes, bytes]:
    """Header and payload."""
    payload = stored.payload
    raw = _HEADER.pack(
        MAGIC, _CODES[stored.signal], len(payload), stored.items, stored.at, stored.number,
        zlib.crc32(payload), 0,
    )  # fmt: skip
    return raw[:-4] + zlib.crc32(raw[:-4]).to_bytes(4, "little"), payload


def decode(data: bytes, at: int = 0) -> Header | None:
    """The header at `at`; None if there is none that can be trusted."""
    if at + SIZE > len(data) or data[at : at + 4] != MAGIC:
        return None
    _, code, length, items, time, number, crc, check = _HEADER.unpack_from(data, at)
    if code not in _SIGNALS or length > LONGEST or check != zlib.crc32(data[at : at + SIZE - 4]):
        return None
    return Header(_SIGNALS[code], length, items, time, number, crc)


def find(data: bytes, start: int = 0) -> int:
    """Where the next header begins; -1 if there is none."""
    at = data.find(MAGIC, start)
    while at >= 0 and decode(data, at) is None:
        at = data.find(MAGIC, at + 1)
    return at


def opened(header: Header, payload: bytes) -> Stored | None:
    """None where the bytes are not those that were written."""
    if len(payload) != header.length or zlib.crc32(payload) != header.crc:
        return None
    stored = Stored(header.signal, payload, None, header.items, header.at)
    stored.number = header.number
    return stored


def records(data: bytes, start: int = 0) -> Iterator[tuple[int, Stored | None, int]]:
    """(begin, batch, end) of each record; the batch is None where bytes are of no use.

    It ends where the last record is cut off, to be read anew from there.
    """
    at = start
    while at + SIZE <= len(data):
        header = decode(data, at)
        if header is None:
            found = find(data, at + 1)
            end = found if found >= 0 else max(at + 1, len(data) - SIZE + 1)
            yield at, None, end
            at = end
            continue
        end = at + header.size
        if end > len(data):
            return
        yield at, opened(header, data[at + SIZE : end]), end
        at = end
