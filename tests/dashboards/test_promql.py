"""Names in queries: nothing in a name is anything to Prometheus or Grafana."""

from __future__ import annotations

import ast
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.dashboards.panels import plain
from proxy.dashboards.promql import bound_matcher, in_template, literal, share
from tests.dashboards.kit import HOSTILE

# Grafana's own, packages/grafana-data/src/text and public/app/features/variables/utils.ts
VARIABLE = re.compile(r"\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.([^:^}]+))?(?::([^}]+))?\}")


def hostile(test):  # type: ignore[no-untyped-def]
    for name in HOSTILE:
        test = example(name)(test)
    return test


@hostile
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_literal_is_one_whatever_is_in_it(text: str) -> None:
    made = literal(text)
    assert ast.literal_eval(made) == text  # Go's escapes that are used are Python's too
    assert made.isascii() and made.isprintable()
    assert VARIABLE.search(made) is None


@hostile
@given(st.text())
def test_a_title_has_no_variable_in_it(text: str) -> None:
    assert VARIABLE.search(plain(text)) is None
    assert plain(text).replace("\u2060", "") == text.replace("\u2060", "")


@given(st.text('{}"a-'))
def test_no_template_is_left_but_those_that_write_braces(text: str) -> None:
    made = in_template(text)
    assert made.replace('{{"{{"}}', "").count("{{") == 0
    assert made.replace('{{"{{"}}', "{{") == text


@pytest.mark.parametrize(
    ("seconds", "matcher"),
    [(0.005, 'le="0.005"'), (0.5, 'le="0.5"'), (1.0, r'le=~"1|1\\.0"'), (10, r'le=~"10|10\\.0"')],
)
def test_bounds_are_those_of_both_ways_to_prometheus(seconds: float, matcher: str) -> None:
    assert bound_matcher(seconds) == matcher


def test_a_share_of_nothing_is_nothing() -> None:
    assert share("p", "w", "") == "(p\nor w * 0)\n/ (w > 0)"
