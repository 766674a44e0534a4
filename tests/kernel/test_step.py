"""Awaiting an event, stepped by hand: compiled or not, from coroutines of either kind."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from proxy.kernel import step
from tests.kernel.twins import twin

BOTH = pytest.mark.parametrize("module", [step, twin("step")], ids=["as it runs", "twin"])


async def _two(event: Any, told: list[Any]) -> None:
    told.append(await event)
    try:
        told.append(await event)
    except ValueError as error:
        told.append(str(error))
    told.append(await event)


def _step(module: ModuleType, coroutine: Any, value: object) -> bool:
    """Whether it waits again; the twin says its end by StopIteration."""
    try:
        return module.send(coroutine, value) is not False
    except StopIteration:
        return False


@BOTH
@pytest.mark.parametrize("value", [7, None, (1, 2), ValueError("sent, not thrown")])
def test_what_is_sent_is_what_was_awaited(module: ModuleType, value: object) -> None:
    told: list[Any] = []
    coroutine = _two(module.Event(), told)
    assert [_step(module, coroutine, v) for v in (None, value, value)] == [True] * 3
    assert not _step(module, coroutine, None)
    assert told == [value, value, None]


@BOTH
def test_what_is_thrown_is_raised_where_it_waits(module: ModuleType) -> None:
    told: list[Any] = []
    coroutine = _two(module.Event(), told)
    assert _step(module, coroutine, None) and _step(module, coroutine, 1)
    coroutine.throw(ValueError("thrown"))
    assert not _step(module, coroutine, 3)
    assert told == [1, "thrown", 3]


@BOTH
def test_a_wait_ends_by_iteration_too(module: ModuleType) -> None:
    """As interpreters do that have no `am_send`, 3.12 and later."""
    wait = module.Event().__await__()
    assert next(wait) is None
    with pytest.raises(StopIteration) as ended:
        wait.send((1, 2))
    assert ended.value.value == (1, 2)
    wait = module.Event().__await__()
    assert next(wait) is None
    with pytest.raises(StopIteration) as ended:
        next(wait)
    assert ended.value.value is None


@BOTH
def test_one_event_may_be_awaited_by_many(module: ModuleType) -> None:
    event, first, second = module.Event(), [], []  # type: ignore[var-annotated]
    one, other = _two(event, first), _two(event, second)
    for coroutine in (one, other):
        assert _step(module, coroutine, None)
    for coroutine, value in ((one, 1), (other, 2)):
        assert _step(module, coroutine, value)
    assert (first, second) == ([1], [2])
    one.close()
    other.close()
