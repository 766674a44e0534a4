"""Conditions on method, header fields and query hold or fail, and say why."""

from __future__ import annotations

import pytest

from proxy.config.model import When
from proxy.routing.conditions import compile_when, parameter
from tests.routing.fields import Fields

BETA = Fields(x_beta="1")

CASES = [
    (When(), "GET", "", Fields(), ""),
    (When(method=["GET", "POST"]), "POST", "", Fields(), ""),
    (When(method=["GET"]), "HEAD", "", Fields(), "method is HEAD, wanted GET"),
    (When(method=["GET"]), "get", "", Fields(), "method is get, wanted GET"),
    (When(method=["PUT", "GET"]), "POST", "", Fields(), "method is POST, wanted GET or PUT"),
    (When(header={"X-Beta": "1"}), "GET", "", BETA, ""),
    (When(header={"x-beta": "1"}), "GET", "", Fields(), "header x-beta is missing, wanted 1"),
    (When(header={"x-beta": "2"}), "GET", "", BETA, "header x-beta is '1', wanted 2"),
    (When(header={"x-beta": "*"}), "GET", "", BETA, ""),
    (When(header={"x-beta": "*"}), "GET", "", Fields(), "header x-beta is missing, wanted *"),
    (When(header={"x-beta": "~[0-9]"}), "GET", "", BETA, ""),
    (When(header={"x-beta": "~[0-9]"}), "GET", "", Fields(x_beta="12"), "header x-beta is '12'"),
    (When(header={"x-beta": "1"}), "GET", "", Fields(x_beta="1, 1"), "header x-beta is '1, 1'"),
    (When(query={"v": "2"}), "GET", "a=1&v=2", Fields(), ""),
    (When(query={"v": "2"}), "GET", "v=1&v=2", Fields(), "query v is '1', wanted 2"),
    (When(query={"v": "2"}), "GET", "", Fields(), "query v is missing, wanted 2"),
    (When(query={"v": "*"}), "GET", "v", Fields(), ""),
    (When(query={"v": "a b"}), "GET", "v=a+b", Fields(), ""),
    (When(query={"v": "~a|b"}), "GET", "%76=%61", Fields(), ""),
    (When(method=["GET"], header={"x-beta": "1"}, query={"v": "2"}), "GET", "v=2", BETA, ""),
    (When(method=["GET"], header={"x-beta": "1"}, query={"v": "2"}), "GET", "", BETA, "query v"),
]


@pytest.mark.parametrize(("when", "method", "query", "head", "failure"), CASES)
def test_conditions(when: When, method: str, query: str, head: Fields, failure: str) -> None:
    conditions = compile_when(when)
    said = conditions.failure(method, query, head)
    assert said.startswith(failure) if failure else said == ""
    assert conditions.hold(method, query, head) is (failure == "")


def test_a_field_that_is_no_utf8_fails_quietly() -> None:
    head = Fields()
    head.values[b"x-beta"] = b"\xff\xfe"
    assert not compile_when(When(header={"x-beta": "1"})).hold("GET", "", head)
    assert compile_when(When(header={"x-beta": "*"})).hold("GET", "", head)


def test_a_broken_regular_expression_names_the_header() -> None:
    with pytest.raises(ValueError, match=r"x-beta: '~\[' is not a regular expression"):
        compile_when(When(header={"x-beta": "~["}))


@pytest.mark.parametrize(
    ("query", "value"),
    [("", None), ("v", ""), ("v=", ""), ("w=1&v=2&v=3", "2"), ("v=%2", "%2"), ("&&v=1", "1")],
)
def test_a_parameter_is_its_first_value(query: str, value: str | None) -> None:
    assert parameter(query, "v") == value


@pytest.mark.parametrize(
    ("wider", "narrower", "follows"),
    [
        (When(), When(method=["GET"]), True),
        (When(method=["GET"]), When(), False),
        (When(method=["GET", "PUT"]), When(method=["GET"]), True),
        (When(method=["GET"]), When(method=["GET", "PUT"]), False),
        (When(header={"A": "*"}), When(header={"a": "1"}), True),
        (When(header={"a": "1"}), When(header={"a": "*"}), False),
        (When(header={"a": "1"}), When(query={"a": "1"}), False),
        (When(query={"a": "~x"}), When(query={"a": "~x", "b": "1"}), True),
    ],
)
def test_what_follows_from_other_conditions(wider: When, narrower: When, follows: bool) -> None:
    assert compile_when(wider).follow_from(compile_when(narrower)) is follows
