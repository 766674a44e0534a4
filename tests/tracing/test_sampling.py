"""Sampling decisions: whose counts, the specification's thresholds, and rates that hold."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.tracing import ids
from proxy.tracing.sampling import Kind, Sampler, randomness, threshold, with_threshold

from . import cases

LOW = b"a" * 18 + b"0" * 13 + b"1"  # a trace id that only 100 % samples
HIGH = b"a" * 18 + b"f" * 14  # one that every rate above zero samples


@pytest.mark.parametrize(
    ("ratio", "three", "four", "five"),
    [
        (1 / 3, b"aab", b"aaab", b"aaaab"),
        (0.1, b"e66", b"e666", b"e6666"),
        (0.01, b"fd71", b"fd70a", b"fd70a4"),
        (0.001, b"ffbe7", b"ffbe77", b"ffbe76d"),
    ],
)
def test_thresholds_of_the_specification(
    ratio: float, three: bytes, four: bytes, five: bytes
) -> None:
    assert [threshold(ratio, n) for n in (3, 4, 5)] == [three, four, five]
    assert threshold(ratio) == four


@pytest.mark.parametrize(
    ("ratio", "th"),
    [
        (1.0, b"0"),
        (0.5, b"8"),
        (0.25, b"c"),
        (0.75, b"4"),
        (2**-56, b"f" * 14),
        (2**-58, b""),
        (0.0, b""),
    ],
)
def test_exact_thresholds(ratio: float, th: bytes) -> None:
    assert threshold(ratio) == th


@given(st.floats(1e-12, 1.0))
def test_threshold_is_near_the_ratio(ratio: float) -> None:
    share = 1 - int(threshold(ratio).ljust(14, b"0"), 16) / 2**56
    # four digits behind the leading f: at worst half of 1 in 16**3
    assert share == pytest.approx(ratio, rel=2**-12)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan")])
def test_ratio_must_be_a_share(ratio: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        Sampler("ratio", ratio)


KINDS: list[Kind] = ["parent", "ratio", "always", "never"]
PARENTS = {
    "none": None,
    "yes": cases.context(True),
    "no": cases.context(False),
    "deferred": cases.context(None),
    "bare yes": cases.context(True, trace_id=b""),
    "bare no": cases.context(False, trace_id=b""),
}


# with a ratio of 0 and of 1
@pytest.mark.parametrize(
    ("kind", "parent", "at_zero", "at_one"),
    [
        ("parent", "none", False, True),
        ("parent", "yes", True, True),
        ("parent", "no", False, False),
        ("parent", "deferred", False, True),
        ("parent", "bare yes", True, True),
        ("parent", "bare no", False, False),
        *[("ratio", parent, False, True) for parent in PARENTS],
        *[("always", parent, True, True) for parent in PARENTS],
        *[("never", parent, False, False) for parent in PARENTS],
    ],
)
@pytest.mark.parametrize("trace_id", [LOW, HIGH, b"0" * 31 + b"1"])
def test_whose_decision_counts(
    kind: Kind, parent: str, at_zero: bool, at_one: bool, trace_id: bytes
) -> None:
    context = PARENTS[parent]
    assert Sampler(kind, 0.0).decide(context, trace_id) is at_zero
    assert Sampler(kind, 1.0).decide(context, trace_id) is at_one


@pytest.mark.parametrize("kind", KINDS)
def test_debug_is_always_recorded(kind: Kind) -> None:
    assert Sampler(kind, 0.0).decide(cases.context(True, debug=True), LOW) is True


@pytest.mark.parametrize(
    ("low_bits", "ratio", "sampled"),
    [
        (b"80000000000000", 0.5, True),
        (b"7fffffffffffff", 0.5, False),
        (b"e6660000000000", 0.1, True),
        (b"e665ffffffffff", 0.1, False),
        (b"fd70a000000000", 0.01, True),
        (b"fd709fffffffff", 0.01, False),
        (b"00000000000000", 1.0, True),
        (b"ffffffffffffff", 0.0, False),
    ],
)
def test_boundary(low_bits: bytes, ratio: float, sampled: bool) -> None:
    sampler = Sampler("parent", ratio)
    assert sampler.decide(None, b"1" * 18 + low_bits) is sampled
    # the upper 72 bits play no part
    assert sampler.decide(None, b"f" * 18 + low_bits) is sampled


@pytest.mark.parametrize(
    ("state", "used"),
    [
        (b"ot=rv:0123456789abcd", b"0123456789abcd"),
        (b"a=1,ot=th:8;rv:0123456789abcd;x:y,b=2", b"0123456789abcd"),
        (b"ot=rv:0123456789abc", HIGH[18:]),
        (b"ot=rv:0123456789abcde", HIGH[18:]),
        (b"ot=rv:0123456789ABCD", HIGH[18:]),
        (b"ot=rv:", HIGH[18:]),
        (b"a=rv:0123456789abcd", HIGH[18:]),
        (b"ot=xrv:0123456789abcd", HIGH[18:]),
        (b"", HIGH[18:]),
    ],
)
def test_randomness(state: bytes, used: bytes) -> None:
    assert randomness(state, HIGH) == used


def test_explicit_randomness_decides_for_a_deferred_parent() -> None:
    context = cases.context(None, state=b"ot=rv:ffffffffffffff")
    assert Sampler("parent", 0.01).decide(context, LOW) is True
    assert Sampler("ratio", 0.01).decide(context, LOW) is True


@pytest.mark.parametrize(
    ("ratio", "least", "most"),
    # binomial, 300,000 draws: five standard deviations to either side
    [(0.0001, 3, 58), (0.001, 213, 387), (0.1, 29_178, 30_822), (0.5, 148_630, 151_370)],
)
def test_rates_hold(ratio: float, least: int, most: int) -> None:
    bits = random.Random(20260824).getrandbits
    sampler = Sampler("ratio", ratio)
    hits = sum(sampler.decide(None, ids.trace_id(bits)) for _ in range(300_000))
    assert least <= hits <= most


@given(st.binary(min_size=16, max_size=16), st.floats(0, 1), st.floats(0, 1))
def test_a_lower_rate_samples_a_part_of_a_higher(raw: bytes, one: float, other: float) -> None:
    trace_id = raw.hex().encode()
    low, high = sorted((one, other))
    if Sampler("ratio", low).decide(None, trace_id):
        assert Sampler("ratio", high).decide(None, trace_id)


@pytest.mark.parametrize(
    ("kind", "ratio", "state"),
    [
        ("parent", 0.25, b"ot=th:c"),
        ("ratio", 0.1, b"ot=th:e666"),
        ("parent", 1.0, b""),
        ("parent", 0.0, b""),
        ("always", 0.1, b""),
        ("never", 0.1, b""),
    ],
)
def test_traces_that_start_here_say_how_many_they_stand_for(
    kind: Kind, ratio: float, state: bytes
) -> None:
    sampler = Sampler(kind, ratio)
    assert sampler.root_state() == state
    carried = sampler.carry(None, HIGH, True)
    assert (carried.state if carried else b"") == state
    assert sampler.carry(None, LOW, False) is None


@pytest.mark.parametrize(
    ("kind", "sampled_in", "state", "trace_id", "carried"),
    [
        # obeyed: kept while it agrees with the flag
        ("parent", True, b"", HIGH, b""),
        ("parent", True, b"a=1", HIGH, b"a=1"),
        ("parent", True, b"a=1, ot=th:8;x:y", HIGH, b"a=1, ot=th:8;x:y"),
        ("parent", True, b"a=1,ot=th:8;x:y", LOW, b"ot=x:y,a=1"),
        ("parent", True, b"ot=th:8", LOW, b""),
        ("parent", True, b"ot=th:8;rv:ffffffffffffff", LOW, b"ot=th:8;rv:ffffffffffffff"),
        ("parent", True, b"ot=th:nonsense", HIGH, b""),
        ("parent", True, b"ot=th:", HIGH, b""),
        ("parent", True, b"a=th:8", HIGH, b"a=th:8"),
        ("parent", False, b"ot=th:8;rv:ffffffffffffff", HIGH, b"ot=rv:ffffffffffffff"),
        # decided here at 25 %
        ("parent", None, b"", HIGH, b"ot=th:c"),
        ("parent", None, b"a=1", LOW, b"a=1"),
        ("ratio", True, b"a=1,ot=th:8;rv:ffffffffffffff", LOW, b"ot=th:c;rv:ffffffffffffff,a=1"),
        ("ratio", True, b"a=1,ot=th:8", LOW, b"a=1"),
        ("always", False, b"a=1", LOW, b"a=1"),
        ("always", True, b"a=1,ot=th:8", LOW, b"ot=th:0,a=1"),
        ("never", True, b"ot=th:8,a=1", HIGH, b"a=1"),
    ],
)
def test_what_a_caller_said_is_carried_on(
    kind: Kind, sampled_in: bool | None, state: bytes, trace_id: bytes, carried: bytes
) -> None:
    sampler = Sampler(kind, 0.25)
    context = cases.context(sampled_in, trace_id=trace_id, state=state)
    result = sampler.carry(context, trace_id, sampler.decide(context, trace_id))
    assert result is context
    assert result.state == carried


def test_a_full_ot_member_keeps_what_counts() -> None:
    state = b"ot=rv:ffffffffffffff;" + b"x:" + b"y" * 220
    assert with_threshold(state, b"fff9724") == b"ot=th:fff9724;" + state[3:]
    assert with_threshold(state + b"y" * 13, b"fff9724") == b"ot=th:fff9724;rv:ffffffffffffff"
