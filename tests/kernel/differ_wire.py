"""The wire scanner against the library and its twin, on requests at random.

    python -m tests.kernel.differ_wire [--seconds 60] [--seed 1]

Where the scanner says that a request has no fault, the library must find the same items in it and
nothing to mend; where it leaves the judgement to the library there is nothing to differ. Of
requests that no sender would garble it must say it itself.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import proxy
from proxy.kernel import wire
from proxy.kernel.wire import survey
from proxy.kernel.wire_error import WireError
from proxy.otlp.parts import FREE, LEAST, judged
from proxy.otlp.schema import SCHEMAS
from tests.kernel import otlp_samples
from tests.kernel.twins import twin

TWIN = twin("wire")


def check(signal: str, data: bytes) -> bool:
    """Whether the scanner knew; raises AssertionError where they differ."""
    items = survey(SCHEMAS[signal], data, FREE + len(data) // LEAST)
    if items >= 0:
        try:
            found: Any = judged(signal, data)
        except WireError as error:
            raise AssertionError(f"{signal} {data.hex()}: {items}, but {error}") from None
        assert (found.items, found.lost, found.payload) == (items, {}, data), data.hex()
    ours, theirs = said(wire.fields, data), said(TWIN.fields, data)
    assert ours == theirs, f"{data.hex()}: {ours} and {theirs}"
    return items >= 0


def said(fields: Callable[[bytes, int, int], Iterator[Any]], data: bytes) -> list[Any]:
    """All fields, and what was raised behind them."""
    found: list[Any] = []
    try:
        for field in fields(data, 0, len(data)):
            found.append(field)
            if field[1] == 2:
                found += fields(data, field[3], field[4])
    except WireError as error:
        found.append(str(error))
    return found


def once(random: Random) -> int:
    """One request, as it is and garbled; how many were compared."""
    signal = random.choice(otlp_samples.SIGNALS)
    whole = otlp_samples.request(signal, random).SerializeToString()
    assert check(signal, whole) or proxy.WHY_PLAIN, whole.hex()
    faulty = otlp_samples.request(signal, random, faults=0.1).SerializeToString()
    check(signal, faulty)
    for _ in range(20):
        check(signal, otlp_samples.garbled(random.choice((whole, faulty)), random))
    return 22


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    given = parser.parse_args()
    if proxy.WHY_PLAIN:
        sys.exit(f"there is nothing to compare: {proxy.WHY_PLAIN}")
    random, until, number = Random(given.seed), time.monotonic() + given.seconds, 0
    while time.monotonic() < until:
        number += once(random)
    print(f"{number:,} requests, no difference (seed {given.seed})")


if __name__ == "__main__":
    main()
