from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.collector.tail.judge import Judge
from proxy.collector.tail.policies import build
from proxy.collector.tail.quantile import Quantile
from proxy.collector.tail.routes import PerRouteMinimum, RouteLatency
from proxy.errors import ConfigError
from tests.collector.kit import settings
from tests.collector.tail_kit import batch, span, trace


def judge(*policies: str, more: str = "") -> tuple[Judge, list[str]]:
    listed = ", ".join(policies)
    made = settings("processor", "tail_sampling", f"{more}\npolicies = [{listed}]")
    return build(made.policies, made.sample_on_first_match)


def policy(type: str, body: str = "", name: str = "p") -> str:
    table = f", {type} = {{ {body} }}" if body else ""
    return f'{{ name = "{name}", type = "{type}"{table} }}'


PLAIN = [span(1), span(1, 2, parent=1, ms=30, at=5)]
TEXT = [span(1, attributes={"team": "shop", "n": 7, "vip": True, "load": 0.5})]
STATE = [span(1, trace_state="vendor=abc,ot=th:8")]

CASES: list[tuple[str, str, list[Any], bool]] = [
    ("always_sample", "", PLAIN, True),
    ("latency", "threshold_ms = 35", PLAIN, True),
    ("latency", "threshold_ms = 36", PLAIN, False),
    ("latency", "threshold_ms = 34, upper_threshold_ms = 35", PLAIN, True),
    ("latency", "threshold_ms = 35, upper_threshold_ms = 50", PLAIN, False),
    ("latency", "threshold_ms = 10, upper_threshold_ms = 34", PLAIN, False),
    ("numeric_attribute", 'key = "n", min_value = 7, max_value = 7', TEXT, True),
    ("numeric_attribute", 'key = "n", min_value = 8', TEXT, False),
    ("numeric_attribute", 'key = "n", max_value = 6', TEXT, False),
    ("numeric_attribute", 'key = "load", max_value = 1', TEXT, True),
    ("numeric_attribute", 'key = "vip", min_value = 0', TEXT, False),
    ("numeric_attribute", 'key = "n", min_value = 8, invert_match = true', TEXT, True),
    ("numeric_attribute", 'key = "n", min_value = 7, invert_match = true', TEXT, False),
    ("status_code", 'status_codes = ["ERROR"]', PLAIN, False),
    ("status_code", 'status_codes = ["ERROR", "UNSET"]', PLAIN, True),
    ("status_code", 'status_codes = ["ERROR"]', [*PLAIN, span(1, 3, status=2)], True),
    ("status_code", 'status_codes = ["OK"]', [span(1, status=1)], True),
    ("string_attribute", 'key = "team", values = ["x", "shop"]', TEXT, True),
    ("string_attribute", 'key = "team", values = ["sho"]', TEXT, False),
    ("string_attribute", 'key = "none", values = ["shop"]', TEXT, False),
    ("string_attribute", 'key = "n", values = ["7"]', TEXT, False),
    ("string_attribute", 'key = "service.name", values = ["app"]', TEXT, True),
    (
        "string_attribute",
        'key = "team", values = ["^s.o"], enabled_regex_matching = true',
        TEXT,
        True,
    ),
    (
        "string_attribute",
        'key = "team", values = ["^h"], enabled_regex_matching = true',
        TEXT,
        False,
    ),
    ("string_attribute", 'key = "team", values = ["x"], invert_match = true', TEXT, True),
    ("string_attribute", 'key = "team", values = ["shop"], invert_match = true', TEXT, False),
    ("boolean_attribute", 'key = "vip", value = true', TEXT, True),
    ("boolean_attribute", 'key = "vip", value = false', TEXT, False),
    ("boolean_attribute", 'key = "vip", value = false, invert_match = true', TEXT, True),
    ("trace_state", 'key = "vendor", values = ["abc"]', STATE, True),
    ("trace_state", 'key = "vendor", values = ["abd"]', STATE, False),
    ("trace_state", 'key = "other", values = [""]', PLAIN, False),
    ("trace_flags", "", PLAIN, False),
    ("trace_flags", "", [span(1), span(1, 2, flags=0x101)], True),
    ("span_count", "min_spans = 2", PLAIN, True),
    ("span_count", "min_spans = 3", PLAIN, False),
    ("span_count", "min_spans = 1, max_spans = 1", PLAIN, False),
    ("span_count", "max_spans = 2", PLAIN, True),
    ("rate_limiting", "spans_per_second = 2", PLAIN, True),
    ("rate_limiting", "spans_per_second = 1", PLAIN, False),
    ("bytes_limiting", "bytes_per_second = 1000", PLAIN, True),
    ("bytes_limiting", "bytes_per_second = 1000, burst_capacity = 50", PLAIN, False),
    ("probabilistic", "sampling_percentage = 100", PLAIN, True),
    ("probabilistic", "sampling_percentage = 0", PLAIN, False),
    ("probabilistic", 'sampling_percentage = 100, hash_salt = "s"', PLAIN, True),
    ("probabilistic", 'sampling_percentage = 0, hash_salt = "s"', PLAIN, False),
    ("ottl_condition", """span = ['attributes["team"] == "shop"']""", TEXT, True),
    ("ottl_condition", """span = ['IsMatch(attributes["team"], "^sh")']""", TEXT, True),
    ("ottl_condition", """span = ['IsMatch(attributes["team"], "^x")']""", TEXT, False),
    ("ottl_condition", """span = ['ParseJSON(attributes["team"])["a"] == 1']""", TEXT, False),
    ("ottl_condition", """span = ['"team" in attributes']""", TEXT, True),
    (
        "condition",
        """span = ['name == "no"', 'resource.attributes["service.name"] == "app"']""",
        TEXT,
        True,
    ),
    ("condition", """span = ['name == "no"']""", TEXT, False),
    ("and", f"and_sub_policy = [{policy('always_sample')}]", PLAIN, True),
    (
        "and",
        "and_sub_policy = ["
        + policy("always_sample", name="a")
        + ","
        + policy("span_count", "min_spans = 9", "b")
        + "]",
        PLAIN,
        False,
    ),
    ("not", f"not_sub_policy = {policy('span_count', 'min_spans = 9')}", PLAIN, True),
    ("not", f"not_sub_policy = {policy('always_sample')}", PLAIN, False),
    ("drop", f"drop_sub_policy = [{policy('always_sample')}]", PLAIN, False),
    ("route_latency", "", PLAIN, False),
    ("per_route_minimum", "", PLAIN, True),
]


@pytest.mark.parametrize(("kind", "body", "spans", "kept"), CASES)
def test_what_each_policy_keeps(kind: str, body: str, spans: list[Any], kept: bool) -> None:
    made, _ = judge(policy(kind, body))
    assert made.decide(trace(batch(spans)), 1.0).sampled is kept
    # one batch for each span, the other way round
    made, _ = judge(policy(kind, body))
    assert made.decide(trace(*[batch([s]) for s in reversed(spans)]), 1.0).sampled is kept


YES, NO = policy("always_sample", name="yes"), policy("span_count", "min_spans = 99", "no")
DROP = policy("drop", f"drop_sub_policy = [{YES}]", "drop")
INVERTED_YES = policy(
    "string_attribute", 'key = "k", values = ["v"], invert_match = true', "inverted"
)
INVERTED_NO = policy(
    "string_attribute", 'key = "team", values = ["shop"], invert_match = true', "inverted"
)


VERDICTS: list[tuple[tuple[str, ...], bool, str]] = [
    ((NO, YES), True, "yes"),
    ((YES, NO), True, "yes"),
    ((YES, DROP), False, "drop"),
    ((DROP, YES), False, "drop"),
    ((INVERTED_YES,), True, "inverted"),
    ((INVERTED_YES, YES), True, "yes"),
    ((INVERTED_YES, NO), False, ""),
    ((INVERTED_NO, YES), False, "inverted"),
    ((NO,), False, ""),
]


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(("policies", "sampled", "by"), VERDICTS)
def test_who_wins(policies: tuple[str, ...], sampled: bool, by: str, first: bool) -> None:
    more = f"sample_on_first_match = {str(first).lower()}"
    made, names = judge(*policies, more=more)
    decision = made.decide(trace(batch(TEXT)), 0.0)
    assert decision.sampled is sampled
    assert (names[decision.by] if decision.by >= 0 else "") == by


@pytest.mark.parametrize(("first", "sampled"), [("false", False), ("true", True)])
def test_a_first_match_hides_an_inverted_one_behind_it(first: str, sampled: bool) -> None:
    made, _ = judge(YES, INVERTED_NO, more=f"sample_on_first_match = {first}")
    assert made.decide(trace(batch(TEXT)), 0.0).sampled is sampled


def test_after_the_first_match_nobody_is_asked() -> None:
    made, _ = judge(
        YES, policy("rate_limiting", "spans_per_second = 9"), more="sample_on_first_match = true"
    )
    made.decide(trace(batch(PLAIN)), 0.0)
    assert [(yes.value, no.value) for yes, no in made.counts] == [(1, 0), (0, 0)]


def test_spans_a_second() -> None:
    made, _ = judge(policy("rate_limiting", "spans_per_second = 5"))
    given = [trace(batch(PLAIN)) for _ in range(4)]
    assert [made.decide(t, 0.5).sampled for t in given] == [True, True, False, False]
    assert [made.decide(t, 1.1).sampled for t in given] == [True, True, False, False]


def test_bytes_a_second() -> None:
    one = trace(batch(PLAIN))
    made, _ = judge(policy("bytes_limiting", f"bytes_per_second = {one.size}"))
    assert [made.decide(one, 0.0).sampled for _ in range(3)] == [True, True, False]
    assert [made.decide(one, 1.0).sampled for _ in range(2)] == [True, False]
    assert [made.decide(one, 60.0).sampled for _ in range(3)] == [True, True, False]


def test_a_budget_is_shared_in_order() -> None:
    body = """max_total_spans_per_second = 10, policy_order = ["errors", "rest"],
        rate_allocation = [{ policy = "errors", percent = 60 }], composite_sub_policy = [
        { name = "rest", type = "always_sample" },
        { name = "errors", type = "status_code", status_code = { status_codes = ["ERROR"] } }]"""
    made, _ = judge(policy("composite", " ".join(body.split())))
    failed = [span(1, 1, status=2), span(1, 2)]
    said = [made.decide(trace(batch(failed)), 0.0).sampled for _ in range(4)]
    assert said == [True, True, True, False]  # 6 of 10; it does not get what the rest may have
    said = [made.decide(trace(batch(PLAIN)), 0.0).sampled for _ in range(3)]
    assert said == [True, True, False]  # the other 40 percent
    assert made.decide(trace(batch(failed)), 1.0).sampled


@pytest.mark.parametrize("salt", ["", ', hash_salt = "x"'])
def test_a_share_of_all_traces(salt: str) -> None:
    made, _ = judge(policy("probabilistic", f"sampling_percentage = 25{salt}"))
    kept = 0
    for n in range(2000):
        given = span(1)
        given.trace_id = (n * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128) + 1).to_bytes(16)
        kept += made.decide(trace(batch([given])), 0.0).sampled
    assert 430 < kept < 570  # binomial, 3.6 standard deviations


def test_explicit_randomness_wins_over_the_trace_id() -> None:
    made, _ = judge(policy("probabilistic", "sampling_percentage = 50"))
    low, high = "ot=rv:00000000000001", "ot=rv:ffffffffffffff"
    assert not made.decide(trace(batch([span(1 << 55, trace_state=low)])), 0.0).sampled
    assert made.decide(trace(batch([span(1, 1), span(1, 2, trace_state=high)])), 0.0).sampled


HALF = policy("probabilistic", "sampling_percentage = 50", "half")
TENTH = policy("probabilistic", "sampling_percentage = 10", "tenth")
SALTED = policy("probabilistic", 'sampling_percentage = 100, hash_salt = "s"', "salted")


NEVER = policy("not", f"not_sub_policy = {YES}")
OTHER_HALF = policy("not", f"not_sub_policy = {HALF}")


@pytest.mark.parametrize(
    ("policies", "th"),
    [
        ((HALF,), b"8"),
        ((HALF, NO), b"8"),
        ((TENTH, HALF), b"8"),
        ((HALF, YES), b""),
        ((SALTED,), b""),
        ((HALF, SALTED), b""),
        ((policy("and", f"and_sub_policy = [{HALF}, {TENTH}]"),), b"e666"),
        ((policy("and", f"and_sub_policy = [{YES}, {HALF}]"),), b"8"),
        ((policy("not", f"not_sub_policy = {OTHER_HALF}"),), b""),
        ((HALF, policy("drop", f"drop_sub_policy = [{NEVER}]", "d")), b"8"),
        ((HALF, policy("drop", f"drop_sub_policy = [{OTHER_HALF}]", "d")), b""),
    ],
)  # fmt: skip
def test_thresholds_are_told_only_where_they_are_right(
    policies: tuple[str, ...], th: bytes
) -> None:
    made, _ = judge(*policies)
    decision = made.decide(trace(batch([span((1 << 56) - 1)])), 0.0)
    assert (decision.sampled, decision.th) == (True, th)


def test_the_first_match_hides_the_threshold() -> None:
    made, _ = judge(HALF, YES, more="sample_on_first_match = true")
    assert made.decide(trace(batch([span((1 << 56) - 1)])), 0.0).th == b""


def test_slower_than_usual_on_its_own_route() -> None:
    made, _ = judge(policy("route_latency", "min_samples = 50"))

    def kept(name: str, ms: float) -> bool:
        return made.decide(trace(batch([span(1, ms=ms, name=name)])), 0.0).sampled

    assert not any(kept("GET /fast", 10 + n / 10) for n in range(50))
    assert not any(kept("GET /slow", 1000 + n) for n in range(50))
    assert kept("GET /fast", 40)
    assert not kept("GET /slow", 1005)
    assert kept("GET /slow", 3000)
    assert not kept("GET /new", 9000)  # not known yet


def test_the_route_is_the_template_where_there_is_one() -> None:
    given = span(1, name="GET", attributes={"http.route": "/x/{id}"})
    assert list(trace(batch([given], service="s")).routes) == [("s", "/x/{id}")]


def test_routes_are_where_a_trace_comes_into_a_service() -> None:
    spans = [
        span(1, 1, name="in", kind=2),
        span(1, 2, parent=1, name="call", kind=3),
        span(1, 3, parent=1, name="inner", kind=1),
        span(1, 4, parent=9, name="take", kind=5),
    ]
    assert set(trace(batch(spans)).routes) == {("app", "in"), ("app", "take")}


def test_the_number_of_routes_is_bounded() -> None:
    slow, least = RouteLatency(0.99, 1, 100, 8), PerRouteMinimum(1, 8)
    for n in range(100):
        given = trace(batch([span(1, name=f"GET /{n}")]))
        slow.decide(given, 0.0)
        if least.decide(given, 0.0):
            least.kept(given, 0.0)
    assert len(slow) == 8
    assert len(least) == 9  # and one that the others share


def test_so_many_a_minute_from_each_route() -> None:
    made, names = judge(
        policy("status_code", 'status_codes = ["ERROR"]', "errors"),
        policy("per_route_minimum", "traces_per_minute = 2", "least"),
    )

    def by(name: str, now: float, status: int = 0) -> str:
        decision = made.decide(trace(batch([span(1, name=name, status=status)])), now)
        return names[decision.by] if decision.sampled else ""

    assert [by("a", 0), by("b", 1), by("a", 2), by("a", 3)] == ["least", "least", "least", ""]
    assert by("b", 10, status=2) == "errors"
    assert by("b", 11) == ""  # there were two already, whoever kept them
    assert [by("a", 60), by("b", 61)] == ["least", "least"]


@given(st.lists(st.integers(1_000, 10**12), min_size=20, max_size=300))
def test_the_quantile_is_within_a_bucket(durations: list[int]) -> None:
    quantile = Quantile(0.9, 10**6)
    for ns in durations:
        quantile.add(ns)
    # as many are above it as may be: a tenth, less the one at the quantile itself
    truth = sorted(durations)[math.ceil(len(durations) * 0.9) - 1]
    assert not quantile.exceeded_by(truth // 2)
    assert quantile.exceeded_by(int(truth * 1.11) + 2_000) or truth * 1.11 > 3.6e12
    assert quantile.buckets <= 453


def test_what_was_usual_long_ago_is_forgotten() -> None:
    quantile = Quantile(0.99, 1000)
    for _ in range(999):
        quantile.add(10**9)
    for _ in range(5000):
        quantile.add(10**6)
    assert quantile.exceeded_by(2 * 10**6)
    assert len(quantile) <= 1000


REGEX = policy("string_attribute", 'key = "k", values = ["("], enabled_regex_matching = true')
BUDGET = f"max_total_spans_per_second = 1, composite_sub_policy = [{YES}], "
SHARE = '{ policy = "yes", percent = 60 }'


@pytest.mark.parametrize(
    ("policies", "words"),
    [
        ("", "no policies"),
        ('{ name = "a", type = "latency" }', "`latency` is missing"),
        ('{ name = "a", type = "latency", latency = {} }', "`threshold_ms` is missing"),
        ('{ name = "a", type = "latencyy" }', "is not one of"),
        ('{ name = "a", type = "trace_flags", latency = { threshold_ms = 1 } }', "nobody looks"),
        (YES + "," + YES, "two policies"),
        (REGEX, "not a regular expression"),
        (REGEX.replace('"("', '"(a+)+$"'), "repetition"),
        (policy("numeric_attribute", 'key = "k"'), "no bound"),
        (policy("and", "and_sub_policy = []"), "no policies in it"),
        (policy("and", f"and_sub_policy = [{policy('latency')}]"), "`latency` is missing"),
        (policy("composite", BUDGET + 'policy_order = ["z"]'), "is called 'z'"),
        (policy("composite", BUDGET + f"rate_allocation = [{SHARE}, {SHARE}]"), "more than 100"),
        (policy("condition", """span = ['name ==']"""), "condition.span[0]"),
        (policy("condition", """spanevent = ['name == "x"']"""), "not supported"),
    ],
)
def test_what_is_wrong_is_told(policies: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        judge(policies)
    assert words in str(raised.value)
