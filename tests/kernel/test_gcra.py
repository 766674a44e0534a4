"""The table of rate limits, in C and in Python: against an oracle, crowded, and shared."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.kernel import gcra
from tests.kernel.twins import plain

twin = plain("proxy.kernel.gcra")
MODULES = pytest.mark.parametrize("module", [gcra, twin], ids=["kernel", "twin"])
SECOND = 1_000_000_000


def table(module: Any, slots: int = 1024) -> Any:
    return module.Table(bytearray(module.HEADER + slots * module.SLOT))


@MODULES
@given(
    count=st.integers(1, 1000),
    burst=st.integers(1, 50),
    pauses=st.lists(st.integers(0, 3 * SECOND), max_size=100),
)
def test_as_a_bucket_of_tokens(module: Any, count: int, burst: int, pauses: list[int]) -> None:
    """A bucket that holds `burst` and gets one each `cost` admits exactly the same."""
    cost = SECOND // count
    made, tokens, now = table(module), Fraction(burst), 10 * SECOND
    for pause in pauses:
        now += pause
        tokens = min(Fraction(burst), tokens + Fraction(pause, cost))
        admitted = made.take(7, now, cost, cost * (burst - 1)) <= cost * (burst - 1)
        assert admitted == (tokens >= 1)
        tokens -= admitted


@MODULES
@pytest.mark.parametrize("slots", [0, 8, 17, 1000])
def test_a_size_that_is_no_power_of_two(module: Any, slots: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        table(module, slots)


@MODULES
def test_the_hash_0_is_one_too(module: Any) -> None:
    made = table(module)
    assert [made.take(0, SECOND, SECOND, 0) for _ in range(2)] == [0, SECOND]


@MODULES
def test_a_crowded_group_lets_go_of_what_owes_least(module: Any) -> None:
    made = table(module, 16)
    for key in range(1, 17):
        assert made.take(key, SECOND, key * SECOND, 0) == 0
    assert made.take(99, SECOND, 50 * SECOND, 0) == 0
    assert made.take(16, SECOND, SECOND, 0) == 16 * SECOND
    assert made.take(1, SECOND, SECOND, 0) == 0  # it was the one; now 2 is gone


@MODULES
def test_slots_that_are_over_are_used_again(module: Any) -> None:
    made = table(module, 16)
    for now in range(1, 1000):
        assert made.take(now, now * SECOND, SECOND // 2, 0) == 0


LOOP = """
import mmap, sys, time
from proxy.kernel.gcra import Table
fd, until = int(sys.argv[1]), int(sys.argv[2])
table = Table(mmap.mmap(fd, 0), fd)
print("on", flush=True)
taken = 0
while (now := time.monotonic_ns()) < until:
    taken += table.take(42, now, 1_000_000, 0) <= 0
print(taken)
"""


@pytest.mark.parametrize("pure", ["", "1"], ids=["kernel", "twin"])
def test_processes_count_together_and_a_killed_one_locks_nothing(pure: str) -> None:

    memory = os.memfd_create("test-rates")
    os.ftruncate(memory, gcra.HEADER + 1024 * gcra.SLOT)
    begun = time.monotonic_ns()
    until = begun + 2 * SECOND
    environ = {**os.environ, "SPANGATE_PURE": pure}
    command = [sys.executable, "-c", LOOP, str(memory), str(until)]
    workers = [
        subprocess.Popen(command, pass_fds=[memory], stdout=subprocess.PIPE, env=environ)
        for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"on\n"
    workers[0].send_signal(signal.SIGKILL)
    taken = [int(worker.communicate(timeout=20)[0] or 0) for worker in workers]
    os.close(memory)
    assert taken[0] == 0
    # never more than the pace allows; what the killed one took is not known
    assert 0 < sum(taken) <= 2000 + 1


def test_a_million_keys_are_held(n: int = 1_000_000) -> None:
    made = table(gcra, 1 << 21)
    step = 0x9E3779B97F4A7C15
    keys = range(n if not gcra.__file__.endswith(".py") else 20_000)
    for i in keys:
        made.take(i * step & (1 << 64) - 1, SECOND, 3600 * SECOND, 0)
    known = sum(made.take(i * step & (1 << 64) - 1, SECOND, SECOND, 0) > 0 for i in keys)
    assert known >= 0.98 * len(keys)
