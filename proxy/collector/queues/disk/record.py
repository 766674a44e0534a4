"""Record: one batch as it stands in a file of the queue on disk (docs/collector/disk-queue.md).

Owns the bytes and nothing else: no files, no order. Everything that a reader relies on is under
the header's own checksum, so that a length can be trusted before the payload has been read, and
a reader that is lost finds the next record by looking for a header.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from proxy.collector.batch import Batch, Signal

FILE_HEADER = b"SPANGATE-QUEUE 1"  # format 1; 16 bytes at the beginning of each file

# magic, state, signal, reserved, length, items, CRC-32 of the payload, CRC-32 of the header
_HEADER = struct.Struct("<4sBBHIIII")
SIZE = _HEADER.size  # 24
MAGIC = b"\xf5SQR"  # 0xf5 is in no UTF-8 text, which telemetry mostly is

STATE_AT = 4  # the one byte that is ever written over, so it is not under the checksum
WAITING = 0x57
DONE = 0xA8  # all bits of WAITING turned; anything else counts as waiting: rather twice than never

_CODES: dict[Signal, int] = {"traces": 1, "metrics": 2, "logs": 3, "profiles": 4}
_SIGNALS: dict[int, Signal] = {code: signal for signal, code in _CODES.items()}
_CHECKED_AT = STATE_AT + 1
_CRC_AT = SIZE - 4


@dataclass(frozen=True, slots=True)
class Header:
    """What precedes a payload of `length` bytes."""

    signal: Signal
    items: int
    length: int
    crc: int
    done: bool


def encode(batch: Batch) -> bytes:
    """The header of a record that waits; the payload follows as it is."""
    payload = batch.payload
    code, crc = _CODES[batch.signal], zlib.crc32(payload)
    raw = _HEADER.pack(MAGIC, WAITING, code, 0, len(payload), batch.items, crc, 0)
    return raw[:_CRC_AT] + _check(raw).to_bytes(4, "little")


def decode(data: bytes, at: int = 0) -> Header | None:
    """The header at `at`; None if there is none that can be trusted."""
    raw = data[at : at + SIZE]
    if len(raw) < SIZE or raw[:STATE_AT] != MAGIC:
        return None
    _, state, code, _, length, items, crc, check = _HEADER.unpack(raw)
    signal = _SIGNALS.get(code)
    if signal is None or check != _check(raw):
        return None
    return Header(signal, items, length, crc, state == DONE)


def find(data: bytes, start: int = 0) -> int:
    """Where the next header begins; -1 if there is none."""
    at = data.find(MAGIC, start)
    while at >= 0 and decode(data, at) is None:
        at = data.find(MAGIC, at + 1)
    return at


def is_whole(header: Header, payload: bytes) -> bool:
    return len(payload) == header.length and zlib.crc32(payload) == header.crc


def _check(raw: bytes) -> int:
    return zlib.crc32(raw[_CHECKED_AT:_CRC_AT], zlib.crc32(raw[:STATE_AT]))
