"""The kernel's random bits: as `random.Random.getrandbits` behaves, and as their authors say."""

from __future__ import annotations

import struct

import pytest

from proxy.kernel import chance
from tests.kernel.twins import plain

twin = plain("proxy.kernel.chance")
SEED = bytes(range(32))

# The first numbers from the state 1, 2, 3, 4, by the reference implementation.
FIRST = [
    41943041,
    58720359,
    3588806011781223,
    3591011842654386,
    9228616714210784205,
    9973669472204895162,
]


@pytest.mark.skipif(chance.__file__.endswith(".py"), reason="nothing is compiled")
def test_the_first_numbers() -> None:
    bits = chance.source(struct.pack("<4Q", 1, 2, 3, 4))
    assert [bits(64) for _ in FIRST] == FIRST


@pytest.mark.parametrize("module", [chance, twin], ids=["kernel", "twin"])
@pytest.mark.parametrize("number", [0, 1, 8, 63, 64, 65, 128, 200])
def test_numbers_of_any_size(module: object, number: int) -> None:
    bits = module.source(SEED)  # type: ignore[attr-defined]
    drawn = [bits(number) for _ in range(300)]
    assert all(0 <= value < 1 << number for value in drawn)
    for place in range(number):
        assert 90 < sum(value >> place & 1 for value in drawn) < 210
    with pytest.raises(ValueError):
        bits(-1)


@pytest.mark.parametrize("module", [chance, twin], ids=["kernel", "twin"])
def test_the_seed_decides(module: object) -> None:
    source = module.source  # type: ignore[attr-defined]
    assert source(SEED)(128) == source(SEED)(128) != source(SEED[::-1])(128)
    for seed in (b"", SEED[:31], bytes(32)):
        with pytest.raises(ValueError):
            source(seed)
