"""The memory that a worker shares with hub and collector: what lies where.

One memfd for each worker process. Its first page holds cells, native u64; behind it are three
lanes, rings of bytes: spans and log records as they stand in OTLP (field 2 of a ScopeX, tag and
length included), and access lines. Entries tell their own length, so that a lane needs no headers,
and whatever lies between two positions that were once published is a run of whole entries.

A lane is made of BLOCKS blocks, and its bytes go through them one after the other. Which block
comes next is the worker's choice and is said by the lane's map: always the first one that is free,
so that a lane that is emptied in time stays in few pages of memory, and in a processor's cache.

A position is one u64, `items << 32 | bytes`, both counted since the beginning, items modulo 2**31
(so that a sum has a bit to run over into) and bytes modulo 2**32.
It is stored by one instruction: after a `kill -9` at whatever instant, a run and the number of
entries in it agree. Three positions follow each other round a lane:

head    the worker's: behind it is what was recorded; stored when the bytes are there
cursor  the collector's: what it has read and answers for
tail    the collector's: what is exported, dropped and counted, or on disk; room for more. Who
        replaces a collector that died begins here.

Stores become visible in their order on x86 alone, so a reader trusts a head only when the worker
has told it through a pipe, or is dead.
"""

from __future__ import annotations

import struct

PAGE = 4096

# Cells of lane n are at 8 * n.
HEAD, TAIL, CURSOR = range(3)
CREATED = 3  # the worker's: items written, all 64 bits, a little late
DROPPED = 4  # the worker's: items for which there was no room
NOTED = 5  # the collector's: how many of these are in the books
LANE = 8

REQUESTS, CONNECTIONS = 24, 25  # the worker's
SIZE = 26  # bytes of the lane of spans, stored by the hub

CELLS = 27
MAPS = 1024  # bytes at which the maps are, one byte for each block of each lane
BLOCKS = 64

SPANS, LOGS, LINES = range(3)
LANES = (SPANS, LOGS, LINES)

LEAST = 64 * 1024  # bytes of the largest lane; below that the blocks would be too small
MOST = 1024 * 1024 * 1024

MASK = 0xFFFFFFFF
ITEMS = 0x7FFFFFFF
HEADS = struct.Struct("<3Q")  # what a worker tells through the pipe: its heads, by lane


def lane_sizes(size: int) -> tuple[int, int, int]:
    """Bytes of each lane, powers of two. A request's spans are about twice its log record."""
    largest = 1 << (max(LEAST, min(size, MOST)) - 1).bit_length()
    return largest, largest // 2, largest // 4


def total(size: int) -> int:
    """Bytes of the whole memory."""
    return PAGE + sum(lane_sizes(size))


def position(items: int, size: int) -> int:
    """After so many items in so many bytes."""
    return (items & ITEMS) << 32 | size & MASK


def bytes_between(behind: int, ahead: int) -> int:
    return (ahead - behind) & MASK


def items_between(behind: int, ahead: int) -> int:
    return ((ahead >> 32) - (behind >> 32)) & ITEMS
