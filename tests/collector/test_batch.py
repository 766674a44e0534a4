from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from proxy.collector.batch import Batch, Batcher, Bounds, Format
from proxy.otlp.envelope import Envelope
from proxy.otlp.wire import count, split_entries
from tests.otlp import samples

ENVELOPE = Envelope({"service.name": "gate"})
ENTRIES = Format(ENVELOPE.request, ENVELOPE.overhead, split_entries)


def batcher(
    items: int = 10**9, size: int = 10**9, age: float = 3600
) -> tuple[Batcher, list[Batch]]:
    out: list[Batch] = []
    return Batcher("traces", Bounds(items, size, age), ENTRIES, out.append), out


async def test_complete_by_count() -> None:
    gather, out = batcher(items=10)
    for _ in range(3):
        gather.add(samples.spans(4), 4)
    assert [b.items for b in out] == [12]
    assert gather.items == 0


async def test_complete_by_bytes_below_the_limit() -> None:
    gather, out = batcher(size=5000)
    for _ in range(100):
        gather.add(samples.spans(3), 3)
    gather.flush()
    assert sum(b.items for b in out) == 300
    assert all(b.size <= 5000 for b in out)
    assert all(b.size > 4000 for b in out[:-1])


async def test_complete_by_age() -> None:
    done = asyncio.Event()
    out: list[Batch] = []

    def forward(batch: Batch) -> None:
        out.append(batch)
        done.set()

    gather = Batcher("traces", Bounds(10**9, 10**9, 0.01), ENTRIES, forward)
    gather.add(samples.spans(2), 2)
    gather.add(samples.spans(3), 3)
    assert (gather.items, out) == (5, [])
    async with asyncio.timeout(10):
        await done.wait()
    assert [b.items for b in out] == [5]
    gather.flush()
    assert len(out) == 1


async def test_a_piece_larger_than_a_batch_is_cut() -> None:
    gather, out = batcher(size=3000)
    gather.add(samples.spans(200), 200)
    gather.flush()
    assert sum(b.items for b in out) == 200
    assert all(b.size <= 3000 and count("traces", b.payload) == b.items for b in out)


async def test_a_single_item_larger_than_a_batch_goes_alone() -> None:
    gather, out = batcher(size=3000)
    gather.add(samples.spans(2) + samples.spans(1, name="x" * 5000) + samples.spans(2), 5)
    gather.flush()
    assert [count("traces", b.payload) for b in out] == [2, 1, 2]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), max_size=10))
def test_claimed_items_are_kept_whatever_is_inside(pieces: list[tuple[int, int]]) -> None:
    async def run() -> None:
        gather, out = batcher(size=800, items=25)
        for real, claimed in pieces:
            gather.add(samples.spans(real), claimed)
        gather.flush()
        assert sum(b.items for b in out) == sum(claimed for _, claimed in pieces)

    asyncio.run(run())
