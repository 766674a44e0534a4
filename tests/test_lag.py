from __future__ import annotations

import asyncio
import time

from hypothesis import given
from hypothesis import strategies as st

from proxy.lag import WINDOW, Lag, Window
from proxy.rest import REST


async def test_a_long_turn_is_seen_and_remembered() -> None:
    lag = Lag()
    lag.start()
    await asyncio.sleep(2 * REST)
    time.sleep(3 * REST)  # the long turn itself
    await asyncio.sleep(2 * REST)
    lag.stop()
    assert REST < lag.longest() / 1e9 < 5


NOTES = st.lists(st.tuples(st.floats(0, 40), st.floats(0, 10)), min_size=1, max_size=30)


@given(NOTES, st.floats(0, 200))
def test_it_is_the_longest_of_the_last_minute(
    notes: list[tuple[float, float]], after: float
) -> None:
    window, now = Window(), 1000.0
    seen = []
    for passed, delay in notes:
        now += passed
        window.note(now, delay)
        seen.append((now, delay))
    now += after
    recent = [delay for at, delay in seen if int(now) - int(at) < WINDOW]
    assert window.longest(now) == max(recent, default=0.0)
