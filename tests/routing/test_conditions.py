"""Conditions on method, header fields and query hold or fail, and say why."""

from __future__ import annotations

import pytest

from proxy.config.model import When
from proxy.routing.conditions import compile_when, first_failure, follow
from proxy.routing.demands import parameters
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
    failed = first_failure(conditions, method, query, head)
    said = failed.text(failed.wanted) if failed is not None else ""
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


SEVERAL = [
    # value of the field or parameters, does a route that forwards take it, and one that denies
    ("admin", True, True),
    ("guest", False, False),
    ("admin | guest", False, True),  # two lines
    ("guest | admin", False, True),
    ("guest | x, admin ,y", False, True),  # members of a list
    ("guest, admin", False, True),
    ("admin,", False, True),
    ("administrator, guest", False, False),
    ("guest | administrator", False, False),
]


@pytest.mark.parametrize(("value", "forwarded", "denied"), SEVERAL)
@pytest.mark.parametrize("wanted", ["admin", "~adm[i]n"])
def test_a_second_line_neither_hides_from_a_denial_nor_opens_a_door(
    value: str, forwarded: bool, denied: bool, wanted: str
) -> None:
    head = Fields(x_role=value)
    for denies, expected in ((False, forwarded), (True, denied)):
        conditions = compile_when(When(header={"X-Role": wanted}), denies)
        assert conditions.hold("GET", "", head) is expected
        assert (first_failure(conditions, "GET", "", head) is None) is expected


def test_a_whole_list_still_meets_what_was_written_for_it() -> None:
    head = Fields(accept="text/html, text/plain")
    for wanted in ("text/html, text/plain", "~text/html,.*"):
        for denies in (False, True):
            assert compile_when(When(header={"accept": wanted}), denies).hold("GET", "", head)


@pytest.mark.parametrize(
    ("query", "forwarded", "denied"),
    [
        ("role=admin", True, True),
        ("role=guest", False, False),
        ("role=guest&role=admin", False, True),
        ("role=guest&%72ole=%61dmin", False, True),
        ("role=admin&role=guest", True, True),
    ],
)
def test_a_second_parameter_hides_nothing_from_a_denial(
    query: str, forwarded: bool, denied: bool
) -> None:
    for denies, expected in ((False, forwarded), (True, denied)):
        conditions = compile_when(When(query={"role": "admin"}), denies)
        assert conditions.hold("GET", query, Fields()) is expected
        assert (first_failure(conditions, "GET", query, Fields()) is None) is expected


def test_what_one_line_meets_does_not_follow_for_the_whole() -> None:
    admin, anything = When(header={"a": "admin"}), When(header={"a": "*"})
    denies = compile_when(admin, denies=True)
    assert not follow(compile_when(admin), denies)
    assert follow(compile_when(anything), denies)
    assert follow(denies, compile_when(admin))
    assert follow(denies, denies)


CALL, WEB, PAGE = (
    Fields(content_type=value)
    for value in ("application/grpc+proto", "application/grpc-web-text", "text/html")
)


@pytest.mark.parametrize(
    ("wanted", "head", "grpc_web", "holds"),
    [
        (True, CALL, False, True),
        (True, WEB, False, False),
        (True, WEB, True, True),
        (True, PAGE, True, False),
        (True, Fields(), False, False),
        (False, CALL, False, False),
        (False, WEB, False, True),
        (False, WEB, True, False),
        (False, Fields(), False, True),
    ],
)
def test_grpc_calls(wanted: bool, head: Fields, grpc_web: bool, holds: bool) -> None:
    conditions = compile_when(When(grpc=wanted), grpc_web=grpc_web)
    assert conditions.hold("POST", "", head) is holds
    failure = first_failure(conditions, "POST", "", head)
    assert (failure is None) is holds
    if failure is not None:
        assert failure.text("") == ("it is no gRPC call" if wanted else "it is a gRPC call")
    assert len(conditions) == 1


@pytest.mark.parametrize(
    ("query", "value"),
    [("", None), ("v", ""), ("v=", ""), ("w=1&v=2&v=3", "2"), ("v=%2", "%2"), ("&&v=1", "1")],
)
def test_a_parameter_is_its_first_value(query: str, value: str | None) -> None:
    assert parameters(query, "v") == ([] if value is None else [value])


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
        (When(grpc=True), When(grpc=True, method=["POST"]), True),
        (When(grpc=True), When(grpc=False), False),
        (When(grpc=True), When(), False),
        (When(), When(grpc=True), True),
        (When(query={"a": "~x"}), When(query={"a": "~x", "b": "1"}), True),
    ],
)
def test_what_follows_from_other_conditions(wider: When, narrower: When, follows: bool) -> None:
    assert follow(compile_when(wider), compile_when(narrower)) is follows
