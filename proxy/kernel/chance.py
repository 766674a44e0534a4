"""Random bits for ids.

Owns where they come from, for those who draw several ids a request: `source` gives a function that
behaves as `random.Random.getrandbits`. Good for ids and sampling, and for no secret. This is the
twin of `chance.pyx`, whose functions `hexes.pyx` calls without making an int.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random


def source(seed: bytes) -> Callable[[int], int]:
    """Number of bits -> that many random bits. `seed` is 32 bytes of real chance."""
    if len(seed) != 32 or not any(seed):
        raise ValueError("a seed is 32 bytes that are not all zero")
    return Random(seed).getrandbits
