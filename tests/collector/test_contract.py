"""Every component of the registry keeps the contract that is written on the interface."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

import pytest

from proxy.collector.batch import Batch, Signal
from proxy.collector.registry import COMPONENTS, Component
from proxy.otlp.wire import WireError
from tests.collector.kit import Place, batch

BUILT = [component for component in COMPONENTS if component.built]
STAGES = [c for c in BUILT if c.kind != "receiver"]
CASES = [(c, signal) for c in STAGES for signal in c.signals]


def name(value: Any) -> str:
    return f"{value.kind}-{value.type}" if isinstance(value, Component) else str(value)


def example(component: Component) -> str:
    text: str = importlib.import_module(
        f"tests.collector.components.{component.kind}_{component.type}"
    ).EXAMPLE
    return text


def place(component: Component, signal: Signal = "traces") -> tuple[Place, Any]:
    found = Place(component.kind, component.type, signal=signal)
    if component.type == "gateway":
        from functools import partial

        from proxy.collector.counters import Meters
        from proxy.collector.fanout import Junction

        found = Place(
            component.kind,
            component.type,
            outlet=Junction(found.books, partial(Meters().flow, "receiver", "gateway", "")),
        )
    return found, found.make(example(component))


def tasks() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if not task.done()}


@pytest.mark.parametrize("component", BUILT, ids=name)
async def test_making_has_no_effects_and_stop_frees_everything(component: Component) -> None:
    before = tasks()
    _, made = place(component)
    assert tasks() == before
    await made.start()
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await made.stop(3600)
    await asyncio.sleep(0)
    assert tasks() == before


@pytest.mark.parametrize("component", BUILT, ids=name)
async def test_stop_is_allowed_without_a_start(component: Component) -> None:
    _, made = place(component)
    async with asyncio.timeout(20):
        await made.stop(0.0)


@pytest.mark.parametrize(("component", "signal"), CASES, ids=name)
async def test_every_item_is_somewhere_at_every_moment(
    component: Component, signal: Signal
) -> None:
    found, made = place(component, signal)
    await made.start()
    for _ in range(3):
        found.send(batch(signal))
        await asyncio.sleep(0)
        assert found.ledger.balanced, found.ledger
    await made.stop(0.05)
    assert found.ledger.balanced, found.ledger
    assert found.ledger.queued == 0
    assert found.ledger.created >= 3 * batch(signal).items


@pytest.mark.parametrize(("component", "signal"), CASES, ids=name)
async def test_refusing_takes_nothing(component: Component, signal: Signal) -> None:
    found, made = place(component, signal)
    await made.start()
    found.room = False
    for _ in range(5):
        created = found.ledger.created
        if not found.send(batch(signal)):
            assert found.ledger.created == created
        await asyncio.sleep(0)
        assert found.ledger.balanced, found.ledger
    async with asyncio.timeout(20):
        await made.stop(0.05)
    assert found.ledger.balanced, found.ledger
    assert found.ledger.queued == 0
    assert found.out == []


@pytest.mark.parametrize(("component", "signal"), CASES, ids=name)
async def test_garbage_is_refused_or_counted(component: Component, signal: Signal) -> None:
    found, made = place(component, signal)
    await made.start()
    try:
        found.send(Batch(signal, b"\xff" * 10, 3))
    except WireError:
        assert found.ledger.created == 0
    found.send(batch(signal))
    await made.stop(0.05)
    assert found.ledger.balanced, found.ledger


@pytest.mark.parametrize(("component", "signal"), CASES, ids=name)
async def test_what_is_shared_stays_unchanged(component: Component, signal: Signal) -> None:
    found, made = place(component, signal)
    await made.start()
    shared = batch(signal, 5)
    if signal != "profiles":
        shared.message()
    shared.shared = True
    before, items = shared.payload, shared.items
    found.send(shared)
    await made.stop(0.05)
    assert (shared.payload, shared.items) == (before, items)
    if signal != "profiles":
        again = type(shared.message())()
        again.ParseFromString(before)
        assert shared.message() == again


@pytest.mark.parametrize(
    ("component", "signal"), [(c, s) for c, s in CASES if c.kind == "exporter"], ids=name
)
async def test_after_stop_an_exporter_takes_nothing(component: Component, signal: Signal) -> None:
    found, made = place(component, signal)
    await made.start()
    await made.stop(0.05)
    assert found.send(batch(signal)) is False
    assert (found.ledger.created, found.ledger.queued) == (0, 0)


@pytest.mark.parametrize(("component", "signal"), CASES, ids=name)
async def test_stop_ends_although_the_other_side_does_not(
    component: Component, signal: Signal
) -> None:
    found, made = place(component, signal)
    await made.start()
    found.send(batch(signal))
    async with asyncio.timeout(20):
        await made.stop(0.05)
    assert found.ledger.balanced, found.ledger


@pytest.mark.parametrize("component", COMPONENTS, ids=name)
def test_rows_are_well_formed(component: Component) -> None:
    assert component.signals
    assert bool(component.outputs) == (component.kind == "connector")
    if component.built:
        assert component.settings().__doc__
