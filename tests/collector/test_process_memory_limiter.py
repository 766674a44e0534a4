from __future__ import annotations

import pytest

from proxy.collector.processors.memory_limiter import processor as module
from proxy.collector.processors.memory_limiter.memory import resident, total
from proxy.collector.processors.memory_limiter.processor import MIB, limits
from proxy.errors import ConfigError
from tests.collector.kit import Place, batch, settings


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """MiB that the process holds, for the limiter to see."""
    held = [0]
    monkeypatch.setattr(module, "resident", lambda: held[0] * MIB)
    return held


def test_refuses_above_the_soft_limit_and_takes_again_below(used: list[int]) -> None:
    place = Place("processor", "memory_limiter")
    place.make("limit_mib = 100\nspike_limit_mib = 30\ncheck_interval = 0")
    for held, taken in [(50, True), (70, True), (71, False), (99, False), (101, False), (60, True)]:
        used[0] = held
        assert place.send(batch()) is taken
    assert place.ledger.created == place.items == 9
    assert place.account.refusal == "memory_limit"


def test_says_so_once_and_when_it_is_over(used: list[int]) -> None:
    place = Place("processor", "memory_limiter")
    place.make("limit_mib = 100\ncheck_interval = 0")
    used[0] = 90
    place.send(batch())
    assert "refusing above 80 MiB" in place.context.condition.error
    assert place.context.condition.troubled
    used[0] = 10
    place.send(batch())
    assert not place.context.condition.troubled


def test_looks_no_more_often_than_told(used: list[int]) -> None:
    place = Place("processor", "memory_limiter")
    place.make('limit_mib = 100\ncheck_interval = "1h"')
    assert place.send(batch())
    used[0] = 200
    assert place.send(batch())


def test_collects_garbage_above_the_hard_limit_but_not_all_the_time(
    used: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    collected: list[int] = []

    def collect() -> int:
        collected.append(used[0])
        used[0] = 10
        return 0

    monkeypatch.setattr(module.gc, "collect", collect)
    place = Place("processor", "memory_limiter")
    place.make("limit_mib = 100\ncheck_interval = 0")
    used[0] = 150
    assert place.send(batch())  # which helped
    used[0] = 150
    assert not place.send(batch())
    assert collected == [150]


@pytest.mark.parametrize(
    ("toml", "hard", "soft"),
    [
        ("limit_mib = 100", 100, 80),
        ("limit_mib = 100\nspike_limit_mib = 10", 100, 90),
        ("limit_percentage = 50", 500, 400),
        ("limit_percentage = 50\nspike_limit_percentage = 25", 500, 250),
    ],
)
def test_limits(toml: str, hard: int, soft: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "total", lambda: 1000 * MIB)
    assert limits(settings("processor", "memory_limiter", toml)) == (hard * MIB, soft * MIB)


@pytest.mark.parametrize(
    "toml", ["", "limit_mib = 10\nspike_limit_mib = 10", "limit_percentage = 101"]
)
def test_limits_that_cannot_be(toml: str) -> None:
    with pytest.raises(ConfigError):
        settings("processor", "memory_limiter", toml)


def test_what_the_machine_says() -> None:
    assert 1 * MIB < resident() < total()
