"""The reader of OTLP/JSON makes what the libraries make, or gives up."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import proxy
from benchmarks.bombs import Bomb, bombs, inflated
from proxy.kernel.otlpjson import Reader
from proxy.otlp.schema import SCHEMAS
from tests.kernel import differ_otlpjson, otlp_samples

compiled = pytest.mark.skipif(bool(proxy.WHY_PLAIN), reason="the twin reads nothing")
MIB = 1024 * 1024
BOMBS = [bomb for bomb in bombs(MIB) if bomb.name.startswith("JSON")]


@given(st.integers(0, 2**32))
def test_requests_with_anything_in_them(seed: int) -> None:
    differ_otlpjson.once(Random(seed))


@given(st.sampled_from(otlp_samples.SIGNALS), st.binary(max_size=60))
def test_any_bytes(signal: str, data: bytes) -> None:
    differ_otlpjson.check(signal, data, Random(1))


VALUES = [
    ("intValue", number)
    for number in ("0", "-1", "1.0", "1e3", "-0", "00", "+1", "9" * 19, "9" * 20)
]
VALUES += [("intValue", f'"{number}"') for number in ("0", "-9223372036854775808", "01", " 1", "")]
VALUES += [
    ("doubleValue", number)
    for number in (
        "0",
        "-0",
        "-0.0",
        "0.1",
        "5e-324",
        "1e400",
        "2.5e+3",
        "123456789012345678",
        "1.",
    )
]
VALUES += [("doubleValue", "0." + "3" * digits) for digits in (14, 15, 16, 17, 60, 70)]
VALUES += [
    ("stringValue", text)
    for text in (
        '""',
        r'"\u00e9\n"',
        r'"\ud83d\ude00"',
        r'"\ud83d"',
        r'"\ude00"',
        r'"\x"',
        '"\t"',
        "7",
    )
]
VALUES += [
    ("bytesValue", f'"{text}"') for text in ("", "AA==", "AAA=", "AAAA", "AB==", "A_-=", "AA=A")
]
VALUES += [("boolValue", text) for text in ("true", "false", "1", "null", "trueish")]
VALUES += [("arrayValue", text) for text in ("{}", "[]", '{"values":[]}', '{"values":[{},null]}')]


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_values(name: str, value: str) -> None:
    body = f'{{"{name}":{value}}}'
    text = f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{body}}}]}}]}}]}}'
    differ_otlpjson.check("logs", text.encode(), Random(1))


@pytest.mark.parametrize(
    "text",
    [
        "{}", " {\n} ", "{} {}", "[]", "{,}", '{"a":1,}', '{"a" 1}', '{"a":[1 2]}', "{" * 99, "",
        '{"resourceSpans":[{"schemaUrl":"a","schemaUrl":"b"}]}', '{"resourceSpans":[[]]}',
        '{"resourceSpans":null}', '{"a":' + "[" * 80 + "]" * 80 + "}", '{"a":nul}',
        '{"resource\\u0053pans":[{}]}',
    ],
)  # fmt: skip
def test_what_is_around_them(text: str) -> None:
    differ_otlpjson.check("traces", text.encode(), Random(1))


@compiled
def test_lengths_are_moved_where_they_were_not_guessed() -> None:
    attribute = '{"key":"k","value":{"stringValue":"?"}}'
    for sizes in ([0, 130, 3, 20_000, 1], [20_000, 0, 200], [126, 127, 128, 129]):
        made = ",".join(attribute.replace("?", "x" * size) for size in sizes)
        text = f'{{"resourceSpans":[{{"resource":{{"attributes":[{made}]}}}}]}}'
        assert differ_otlpjson.check("traces", text.encode(), Random(1))


@compiled
def test_a_value_that_is_out_of_the_ordinary_costs_one_pass() -> None:
    reader = Reader(SCHEMAS["traces"], b'{"resourceSpans":[{"resource":{}},{"resource":7}]}')
    steps = [reader.step(8) for _ in range(5)]
    assert steps == [0, 0, 0, 0, -1] or -1 in steps


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
def test_bombs(bomb: Bomb) -> None:
    """None is read that the libraries refuse."""
    import gzip

    text = gzip.decompress(bomb.body) if bomb.headers.get("Content-Encoding") else bomb.body
    assert len(text) == inflated(bomb)
    differ_otlpjson.check("traces", text, Random(1))
