"""What the fuzzer does with bytes works for those that it begins with, and for their beginnings."""

from __future__ import annotations

import pytest

from tests.kernel.fuzz import targets
from tests.kernel.fuzz.__main__ import TARGETS
from tests.kernel.fuzz.seeds import seeds


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_takes_its_seeds(target: str) -> None:
    judge = getattr(targets, target)
    for seed in seeds(target):
        for size in range(0, min(len(seed), 300)):
            judge(seed[:size])
        judge(seed)
