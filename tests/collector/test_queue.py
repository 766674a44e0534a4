from __future__ import annotations

import asyncio

from proxy.collector.batch import Batch
from proxy.collector.queues.memory import Queue


def batch(size: int, items: int = 1) -> Batch:
    return Batch("traces", b"x" * size, items)


async def test_first_in_first_out() -> None:
    queue = Queue(0)
    batches = [batch(1), batch(2), batch(3)]
    assert all(queue.put(b) for b in batches)
    assert [await queue.get() for _ in batches] == batches


async def test_the_newest_is_refused_when_bytes_run_out() -> None:
    queue = Queue(100)
    assert queue.put(batch(60))
    assert not queue.put(batch(41))
    assert queue.put(batch(40))
    assert not queue.put(batch(1))


async def test_what_is_taken_counts_until_done() -> None:
    queue = Queue(100)
    queue.put(batch(100, 7))
    taken = await queue.get()
    assert taken is not None
    assert queue.items("traces") == 7
    assert not queue.put(batch(1))
    queue.done(taken)
    assert (queue.items("traces"), queue.size) == (0, 0)
    assert queue.put(batch(100))
    assert repr(queue) == "<Queue 1 waiting | 0 taken | 100 B>"


async def test_closing_wakes_everyone_and_empties_first() -> None:
    queue = Queue(0)
    sleepers = [asyncio.ensure_future(queue.get()) for _ in range(3)]  # noqa: TID251
    await asyncio.sleep(0)
    queue.put(batch(1))
    queue.close()
    got = await asyncio.gather(*sleepers)
    assert sorted(g is None for g in got) == [False, True, True]
    assert not queue.put(batch(1))


async def test_drain_gives_up_taken_and_waiting() -> None:
    queue = Queue(0)
    for items in (1, 2, 3):
        queue.put(batch(5, items))
    await queue.get()
    assert [b.items for b in queue.drain()] == [1, 2, 3]
    assert (queue.items("traces"), queue.size, len(queue)) == (0, 0, 0)
