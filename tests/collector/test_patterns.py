"""Which regular expressions are taken, and how many of their repetitions count."""

from __future__ import annotations

import re
import time
from re import _parser  # type: ignore[attr-defined]

import pytest

from proxy.collector.editing.first import ambiguous
from proxy.collector.editing.patterns import compile_pattern
from proxy.collector.ottl.patterns import Pattern


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("abc", 0),
        (r"[0-9]+", 0),
        (r"[0-9]+:[0-9]+", 0),
        (r"\w+ \w+$", 0),
        (r"(a+)?b", 0),
        (r"(\[(?P<pid>\d+)\])?: (.*)$", 0),
        (r"[^/]*/[^/]*/x", 0),
        (r".*", 0),
        (r".*a", 1),
        (r".*a.*b", 2),
        (r"\w+\d", 1),
        (r"\d+[a-z]?\d", 1),
        (r"(?i)k+K", 1),
        (r"[^a]+b", 1),
        (r"(?:ab)*c", 1),
        (r"(x|.*)y", 1),
        (r"(?:a+b){3}", 0),
        (r"(?:a+b?){3}", 3),
        (r"\s+(?=x)", 1),
        (r"\S+\s", 1),
        (r"\W+\w", 1),
        (r"[é-ü]+ö", 1),
        (r"a*?b", 0),
        (r"a*?ab", 1),
        (r"(\d+,)*x", 1),
        (r"^[A-Z]{2}(\s*[A-Z0-9]){8,30}$", 1),
        (r"\b(?:\d[ -]*?){13,16}\b", 0),
    ],
)
def test_repetitions_that_can_end_in_several_places(pattern: str, count: int) -> None:
    assert ambiguous(_parser.parse(pattern)) == count


SYSLOG = (
    r"^(?P<timestamp>\w+ \w+ [0-9]+:[0-9]+:[0-9]+) (?P<hostname>([A-Za-z0-9-_]+)) "
    r"(?P<process>\w+)(\[(?P<pid>\d+)\])?: (?P<message>.*)$"
)


def test_many_repetitions_are_taken_where_each_ends_in_one_place() -> None:
    assert compile_pattern(SYSLOG).search("Jan 12 10:11:12 host cron[12]: done")
    begun = time.process_time()
    for letter in "a1 :[":
        compile_pattern(SYSLOG).search(letter * 1024)
    assert time.process_time() - begun < 2  # it takes a thousandth of that


@pytest.mark.parametrize(
    "pattern", [".*a.*b.*c.*d.*e", r"(\d+,?)*", r"(\s*)*", "(.*,)*", "(ab|cd)*", "(a+)+", r"(a)\1"]
)
def test_what_can_run_for_ever_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"repet|ever"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("(?<a>x)", "x", True),
        (r"(?P<a.b>\d)", "1", True),
        ("a$", "a\n", False),
        (r"a\z", "a", True),
        ("(?m)a$", "a\nb", True),
        ("[[:alpha:]]+[[:digit:]]", "ab1", True),
        ("[^[:space:]]", " ", False),
        (r"\Qa.b\E", "axb", False),
        (r"\d", "٣", False),
        (r"[$]x", "$x", True),
        ("[[]", "[", True),
        ("(?i)É", "é", True),
    ],
)
def test_patterns_are_go_s(pattern: str, text: str, found: bool) -> None:
    assert Pattern(pattern).found(text) is found


@pytest.mark.parametrize("pattern", [r"\pL", "(?U)a+", "[[:nope:]]", "(?P<a-b>x)", "("])
def test_what_python_cannot_say_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Pattern(pattern)


def test_long_texts_are_gone_through_in_pieces() -> None:
    text = "secret=abc " * 2000
    assert Pattern(r"secret=\w+").replace(text, lambda m: "secret=*") == "secret=* " * 2000
    once = Pattern(r"^secret=\w+").replace(text, lambda m: "x")
    assert once == "x" + text[len("secret=abc") :]


def test_go_s_templates() -> None:
    pattern = Pattern(r"(?P<first>\w)(\d)")
    found = re.fullmatch(r"(?P<g0>\w)(\d)", "a1")
    assert found is not None
    for template, made in [("$1-$2", "a-1"), ("${first}x", "ax"), ("$firstx", ""), ("$$1", "$1")]:
        assert pattern.expander(template)(found) == made
