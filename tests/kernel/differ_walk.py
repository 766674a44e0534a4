"""Tree and queue against their twins, over and over.

    python -m tests.kernel.differ_walk [--seconds 60] [--seed 1]

Ends with 1 at the first difference, and says the seed that shows it.
"""

from __future__ import annotations

import argparse
import sys
import time
from random import Random
from typing import Any

from proxy.kernel import queue, walk
from tests.kernel.twins import twin

TREES = walk, twin("walk")
QUEUES = queue, twin("queue")
PIECES = ["a", "b", "ab", "abc", "", "%2F", "é", "日本", "\udc80", "x" * 300]
WEIGHTS = (1, 1, 1, 2, 5, 1000)


def walked(chance: Random) -> int:
    """Paths through one random tree; how many."""
    names = PIECES + [f"n{i}" for i in range(chance.choice((0, 3, 30, 300)))]
    trees: list[Any] = [module.Tree() for module in TREES]
    for number in range(chance.randrange(60)):
        segments = [
            None if chance.random() < 0.2 else chance.choice(names)
            for _ in range(chance.randrange(1, 6))
        ]
        is_prefix = chance.random() < 0.3
        for tree in trees:
            tree.put(segments, number, is_prefix)
    for number in range(100):
        path = "".join("/" + chance.choice(names) for _ in range(chance.randrange(7)))
        path = path[1:] if number % 20 == 0 else path
        every, wanted = (tree.all(path) for tree in trees)
        first = trees[0].first(path)
        assert every == wanted, (path, every, wanted)
        assert first is None or first == every[: len(first)], (path, first, every)
        assert first != [] or not every, (path, every)
    return 100


def queued(chance: Random) -> int:
    """Turns of one random queue; how many."""
    things = range(chance.choice((1, 5, 100)))
    begin = [(thing, 1 / chance.choice(WEIGHTS)) for thing in things if chance.random() < 0.8]
    queues: list[Any] = [module.Queue(begin) for module in QUEUES]
    for _ in range(300):
        thing, step, what = chance.choice(things), 1 / chance.choice(WEIGHTS), chance.random()
        if what < 0.7:
            got, wanted = (one.turn() for one in queues)
            assert got == wanted, (got, wanted)
        for one in queues:
            if what > 0.85:
                one.put(thing, step)
            elif what > 0.7:
                one.drop(thing)
        got, wanted = ((len(one), one.void()) for one in queues)
        assert got == wanted, (got, wanted)
    return 300


def once(seed: int) -> int:
    chance = Random(seed)
    return walked(chance) + queued(chance)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kernel.differ_walk")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    seed, compared, until = options.seed, 0, time.monotonic() + options.seconds
    while time.monotonic() < until:
        try:
            compared += once(seed)
        except AssertionError as error:
            print(f"--seed {seed}: {error}")
            return 1
        seed += 1
    print(f"{compared:,} paths and turns compared: all the same")
    return 0


if __name__ == "__main__":
    sys.exit(main())
