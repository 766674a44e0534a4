"""Bodies within limits: a slow one ends, makes room for others, and gives back what it held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.otlp.inflow import Clocks, Inflow, Limits
from proxy.otlp.refusal import OVERLOADED, TOO_SLOW, Refusal
from proxy.tasks import spawn

NONE = 1e6  # seconds; a clock that does not matter


def dribble(*chunks: bytes, every: float = 0.0) -> Callable[[], Awaitable[bytes]]:
    """A sender of these, who then says nothing, or of one byte each `every` seconds for ever."""

    async def send() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
        while True:
            await (asyncio.sleep(every) if every else asyncio.Event().wait())
            yield b"x"

    return aiter(send()).__anext__


@pytest.mark.parametrize(
    "clocks",
    [
        Clocks(total=0.05, silence=NONE, grace=NONE),
        Clocks(total=NONE, silence=0.05, grace=NONE),
        Clocks(total=NONE, silence=NONE, grace=0.05, rate=1e5),
    ],
    ids=["total", "silence", "rate"],
)
async def test_half_a_body_and_silence_is_too_slow(clocks: Clocks) -> None:
    inflow = Inflow(Limits(1000, 1000), clocks=clocks)
    body = inflow.body("")
    with pytest.raises(Refusal) as refused:
        await body.read(dribble(b"half"))
    assert refused.value.reason is TOO_SLOW
    body.close()
    assert inflow.in_flight == 0


@pytest.mark.parametrize(
    "clocks",
    [
        Clocks(total=0.1, silence=NONE, grace=NONE),
        Clocks(total=NONE, silence=NONE, grace=0.1, rate=1e6),
    ],
    ids=["total", "rate"],
)
async def test_a_body_that_only_dribbles_is_too_slow(clocks: Clocks) -> None:
    inflow = Inflow(Limits(10**6, 0), clocks=clocks)
    with pytest.raises(Refusal) as refused:
        await inflow.body("").read(dribble(b"half", every=0.005))
    assert refused.value.reason is TOO_SLOW


async def test_who_has_been_coming_longest_makes_room() -> None:
    inflow = Inflow(Limits(100, 200), clocks=Clocks(NONE, NONE, NONE, yields=0.0))
    slow = [inflow.body("") for _ in range(2)]
    reading = [spawn(body.read(dribble(b"x" * 90)), "slow") for body in slow]
    async with asyncio.timeout(10):
        while inflow.in_flight < 180:
            await asyncio.sleep(0)
    done: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    quick = inflow.body("")
    chunks = iter((b"y" * 60, b""))

    async def more() -> bytes:
        return next(chunks)

    done.set_result(await quick.read(more))
    assert done.result() == b"y" * 60
    with pytest.raises(Refusal) as refused:
        await reading[0]
    assert refused.value.reason is OVERLOADED
    assert (reading[1].done(), inflow.in_flight) == (False, 150)
    reading[1].cancel()
    await asyncio.wait(reading)
    for body in (*slow, quick):
        body.close()
    assert inflow.in_flight == 0


async def test_a_body_that_was_read_makes_no_room_for_others() -> None:
    inflow = Inflow(Limits(100, 100), clocks=Clocks(NONE, NONE, NONE, yields=0.0))
    chunks = iter((b"y" * 90, b""))

    async def more() -> bytes:
        return next(chunks)

    first = inflow.body("")
    await first.read(more)
    with pytest.raises(Refusal) as refused:
        await inflow.body("").read(dribble(b"z" * 90))
    assert refused.value.reason is OVERLOADED
    first.close()


@given(st.floats(0, 100), st.integers(0, 10**6))
def test_clocks_only_run_out_for_who_is_slow(age: float, size: int) -> None:
    clocks = Clocks()
    left = clocks.left(age, size)
    assert left <= clocks.silence
    if left <= 0:
        assert age >= clocks.total or (age >= clocks.grace and size <= clocks.rate * age)
