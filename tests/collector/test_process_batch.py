from __future__ import annotations

import asyncio
from typing import Any

from proxy.collector.batch import Batch
from proxy.otlp.envelope import Envelope
from proxy.otlp.wire import WireError, count
from tests.collector.kit import Place, batch
from tests.otlp import samples

ENVELOPE = Envelope({"service.name": "gate"})
NEVER = 'timeout = "1h"\n'


async def until(condition: Any) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.002)


def started(toml: str) -> tuple[Place, Any]:
    place = Place("processor", "batch")
    return place, place.make(toml)


async def test_complete_by_count() -> None:
    place, stage = started(NEVER + "send_batch_size = 10")
    for _ in range(3):
        assert place.send(batch(items=4))
    assert [b.items for b in place.out] == [12]
    assert stage.held("traces") == 0


async def test_complete_by_bytes_below_the_limit() -> None:
    place, stage = started(NEVER + 'send_batch_max_bytes = "5KB"')
    for _ in range(100):
        place.send(batch(items=3))
    await stage.stop(1)
    assert place.items == 300
    assert all(b.size <= 5000 for b in place.out)
    assert all(b.size > 4000 for b in place.out[:-1])


async def test_complete_by_age() -> None:
    place, stage = started('timeout = "10ms"')
    place.send(batch(items=2))
    place.send(batch(items=3))
    assert (stage.held("traces"), place.out) == (5, [])
    await until(lambda: place.out)
    assert [b.items for b in place.out] == [5]
    place.send(batch(items=1))
    await until(lambda: len(place.out) == 2)


async def test_without_a_timeout_nothing_waits() -> None:
    place, _ = started("timeout = 0")
    place.send(batch(items=2))
    assert [b.items for b in place.out] == [2]


async def test_a_piece_larger_than_a_batch_is_cut() -> None:
    place, stage = started(NEVER + 'send_batch_max_bytes = "3KB"')
    place.send(batch(items=200))
    await stage.stop(1)
    assert place.items == 200
    assert all(b.size <= 3000 and count("traces", b.payload) == b.items for b in place.out)


async def test_a_single_item_larger_than_a_batch_goes_alone() -> None:
    place, stage = started(NEVER + 'send_batch_max_bytes = "3KB"')
    entries = samples.spans(2) + samples.spans(1, name="x" * 5000) + samples.spans(2)
    place.send(Batch.open("traces", entries, 5, ENVELOPE))
    await stage.stop(1)
    assert [count("traces", b.payload) for b in place.out] == [2, 1, 2]


async def test_while_nothing_behind_has_room_senders_are_told_to_come_again() -> None:
    place, stage = started(NEVER + "send_batch_size = 3")
    place.room = False
    assert place.send(batch(items=3))
    assert not place.send(batch(items=3))
    assert (stage.held("traces"), place.ledger.created) == (3, 3)
    place.room = True
    await until(lambda: place.out)  # without another batch coming
    assert place.send(batch(items=3))
    assert place.items == 6


async def test_after_a_refusal_age_counts_again() -> None:
    place, _ = started('timeout = "10ms"\nsend_batch_size = 3')
    place.room = False
    place.send(batch(items=3))
    place.room = True
    assert place.send(batch(items=1))
    await until(lambda: place.items == 4)


async def test_what_cannot_be_handed_on_in_time_is_dropped() -> None:
    place, stage = started(NEVER)
    place.send(batch(items=3))
    place.room = False
    async with asyncio.timeout(20):
        await stage.stop(0.1)
    assert place.ledger.dropped == {"shutdown": 3}
    assert place.ledger.balanced


async def test_a_malformed_request_spoils_only_itself() -> None:
    place, stage = started(NEVER)
    good, taken = [batch(items=2), batch(items=3)], []

    def decoding(given: Batch) -> bool:
        given.message()
        taken.append(given)
        place.ledger.exported += given.items
        return True

    place.consume = decoding  # type: ignore[method-assign]
    place.send(good[0])
    place.send(Batch("traces", b"\x0a\x03\x12\x01\xff", 7))
    place.send(good[1])
    await stage.stop(1)
    assert sum(b.items for b in taken) == 5
    assert place.ledger.dropped == {"malformed": 7}


async def test_bytes_that_cannot_be_cut_are_refused() -> None:
    place, stage = started(NEVER + 'send_batch_max_bytes = "1KB"')
    try:
        place.send(Batch("traces", b"\xff" * 3000, 3))
    except WireError:
        assert stage.held("traces") == 0
    else:
        raise AssertionError("it was taken")
