"""Spans looked over where they lie, compiled and by the twin, on requests at random.

    python -m tests.kernel.differ_spanscan [--seconds 60] [--seed 1]

Of any bytes, malformed or not, both must find the same rows, cut out the same entries, pick the
same attributes, and judge the same traces, with all that a judge has learned before.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from random import Random
from typing import Any

import proxy
from proxy.kernel import spanscan
from proxy.kernel.wire import fields
from proxy.kernel.wire_error import WireError
from tests.kernel import otlp_samples
from tests.kernel.twins import twin

TWIN = twin("spanscan")
NAMES = (b"GET /a", b"GET /b", b"", b"\xff")


class Pair:
    """A judge of each kind, which have seen the same."""

    def __init__(self) -> None:
        self.ours, self.theirs = spanscan.Judge(), TWIN.Judge()

    def check(self, data: bytes, begin: int, end: int) -> None:
        same(self.ours.look(data, begin, end), self.theirs.look(data, begin, end), data)


def check(data: bytes, begin: int, end: int, random: Random) -> None:
    """Raises AssertionError where they differ; `data[begin:end]` is a ScopeSpans, or not."""
    ours, theirs = spanscan.rows(data, begin, end), TWIN.rows(data, begin, end)
    same(ours, theirs, data)
    ids = [row[random.randrange(2)] for row in ours if random.random() < 0.5]
    wanted = dict.fromkeys((*ids, random.choice((b"", b"x"))))
    for number in (1, 2, 9, random.randrange(1, 40)):
        cut = spanscan.select(data, begin, end, number, wanted)
        same(cut, TWIN.select(data, begin, end, number, wanted), data)
    keys = {key: place for place, key in enumerate({*keys_of(data, ours), b"a", b""})}
    for row in (*ours[:5], (0, 0, 0, 0, 0, 0, 0, 0, begin, end)):
        for number in (9, 6, random.randrange(1, 20)):
            picked = spanscan.pick(data, row[8], row[9], number, keys)
            same(picked, TWIN.pick(data, row[8], row[9], number, keys), data)


def keys_of(data: bytes, rows: list[Any]) -> set[bytes]:
    """Of the attributes of these spans, as far as they can be read."""
    found = set()
    for row in rows[:5]:
        try:
            for number, wire, _, start, stop in fields(data, row[8], row[9]):
                if number == 9 and wire == 2:
                    for inner, kind, _, first, last in fields(data, start, stop):
                        if inner == 1 and kind == 2:
                            found.add(data[first:last])
        except WireError:
            continue
    return found


def same(ours: Any, theirs: Any, data: bytes) -> None:
    assert normal(ours) == normal(theirs), f"{data.hex()}: {ours} and {theirs}"


def normal(value: Any) -> Any:
    """With types, and a NaN that equals itself."""
    if isinstance(value, list | tuple):
        return [normal(one) for one in value]
    if isinstance(value, float):
        return "nan" if math.isnan(value) else (float, value, math.copysign(1, value))
    return (type(value), value)


def spans(random: Random, amount: int) -> bytes:
    """A run of spans as a gateway has them: few names, times that tell slow ones."""
    request = otlp_samples.REQUESTS["traces"]()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(amount):
        start = random.choice((0, 5, 2**63, 2**64 - 1, random.randrange(2**61)))
        took = random.choice((0, 1, 3, 10**6, 10**6, 10**6, 10**9, random.randrange(10**10)))
        made = scope.spans.add(
            trace_id=random.randbytes(16),
            span_id=random.randbytes(8),
            kind=random.choice((0, 2, 2, 3)),
            start_time_unix_nano=start,
            end_time_unix_nano=(start + took) % 2**64,
        )
        made.name = random.choice(NAMES[:3]).decode()
        if random.random() < 0.05:
            made.status.code = random.choice((1, 2, 300))
    data: bytes = scope.SerializeToString()
    return data


def once(random: Random, judges: Pair) -> int:
    """One request in its parts, as it is and garbled; how many were compared."""
    request = otlp_samples.request("traces", random)
    scopes = [
        scope.SerializeToString() for one in request.resource_spans for scope in one.scope_spans
    ]
    scopes.append(spans(random, random.choice((1, 20, 300))))
    number = 0
    for scope in scopes:
        for data in (
            scope,
            otlp_samples.garbled(scope, random),
            otlp_samples.garbled(scope, random),
        ):
            before, after = random.randbytes(random.randrange(4)), random.randbytes(3)
            begin, end = len(before), len(before) + len(data)
            whole = before + data + after
            check(whole, begin, end, random)
            judges.check(whole, begin, end)
            number += 1
    return number


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    given = parser.parse_args()
    if proxy.WHY_PLAIN:
        sys.exit(f"there is nothing to compare: {proxy.WHY_PLAIN}")
    random, until, number, judges = Random(given.seed), time.monotonic() + given.seconds, 0, Pair()
    while time.monotonic() < until:
        if random.random() < 0.01:
            judges = Pair()
        number += once(random, judges)
    print(f"{number:,} runs of spans, no difference (seed {given.seed})")


if __name__ == "__main__":
    main()
