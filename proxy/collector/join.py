"""Joining batches into one and cutting one into several, without decoding.

Concatenated requests are one request; open batches of one envelope share it. Knows no stages and
no time.
"""

from __future__ import annotations

from collections.abc import Sequence

from proxy.collector.batch import Batch, Signal, receipts
from proxy.otlp.envelope import Envelope
from proxy.otlp.wire import split, split_entries


def join(signal: Signal, batches: Sequence[Batch]) -> Batch:
    """One batch with everything that is in `batches`, in an order of its own; copies nothing."""
    if len(batches) == 1:
        return batches[0]
    pieces: list[bytes] = []
    opened: dict[Envelope, list[bytes]] = {}
    items = 0
    for batch in batches:
        items += batch.items
        inside = batch.opened()
        if inside is None:
            pieces += batch.pieces
        else:
            opened.setdefault(inside[1], []).append(inside[0])
    for envelope, entries in opened.items():
        pieces += envelope.pieces(entries)
    return Batch.of_pieces(signal, pieces, items, receipts(batches))


def weight(batch: Batch, known: set[Envelope]) -> int:
    """Bytes that it adds to others; an envelope that is in `known` is paid for already."""
    inside = batch.opened()
    if inside is None:
        return batch.size
    entries, envelope = inside
    return len(entries) + (0 if envelope in known else envelope.overhead)


def cut(batch: Batch, limit: int) -> list[Batch]:
    """Parts of at most `limit` bytes each, but for single items that are larger.

    The sender's word on the number of items is kept: the books were opened with it. Raises
    WireError for bytes that are no request.
    """
    inside = batch.opened()
    if inside is not None:
        entries, envelope = inside
        room = max(1, limit - envelope.overhead)
        parts = [
            Batch.open(batch.signal, part, items, envelope, batch.receipt)
            for part, items in split_entries(entries, room)
        ]
    elif batch.signal == "profiles":
        return [batch]
    else:
        parts = [
            batch.heir(part, items) for part, items in split(batch.signal, batch.payload, limit)
        ]
    if not parts:
        return [batch]
    left = batch.items
    for part in parts[:-1]:
        part.items = min(part.items, left)
        left -= part.items
    parts[-1].items = left
    return parts
