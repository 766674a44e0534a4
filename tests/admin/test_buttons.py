"""What a demo tells the pages of its gateway, and what becomes of what is no such thing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.admin.buttons import MOST, MOST_TEXT, VARIABLE, from_environment
from proxy.demo.buttons import to_environment

GATEWAY = "http://localhost:8080"


def read(text: str, gateway: str = GATEWAY) -> dict[str, list[dict[str, str]]] | None:
    return from_environment({VARIABLE: text}, gateway)


def one(**about: object) -> str:
    return json.dumps({"requests": [{"label": "a", "path": "/a", **about}]})


def test_what_the_demo_says_comes_back_with_the_gateway_s_url() -> None:
    found = from_environment(to_environment(), GATEWAY + "/")
    assert found is not None
    assert [request["url"] for request in found["requests"]] == [
        "http://localhost:8080/shop/orders/42",
        "http://localhost:8080/shop/orders/13",
        "http://localhost:8080/shop/orders/99",
        "http://localhost:8080/shop/orders/66",
        "http://localhost:8080/shop/stock/42",
    ]
    assert all(request["method"] == "GET" for request in found["requests"])
    assert all(request["label"] and request["what"] for request in found["requests"])


@pytest.mark.parametrize("gateway", ["", "localhost:8080", "unix:/run/a.sock", "javascript://x"])
def test_without_a_url_there_are_no_buttons(gateway: str) -> None:
    assert read(one(), gateway) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "null", "[]", "5", '{"requests": 5}', '{"requests": []}',
        '{"requests": [5, null]}', '{"requests": [{}]}', "[" * MOST_TEXT,
        '{"requests": ' + "[" * 16000, "\udcff",
        one(x="." * MOST_TEXT),
        one(path="elsewhere"), one(path="/a b"), one(path="/a\n"),
        one(path="/ä"), one(path="/" + "a" * 512), one(path=5),
        one(method="POST"), one(label=""), one(label="a" * 65), one(label="a\x1b[2J"),
        one(what="\u202eevil"), one(what="a" * 257),
    ],
)  # fmt: skip
def test_what_is_no_button_is_left_out(text: str) -> None:
    assert read(text) is None


def test_one_that_is_wrong_costs_itself_alone_and_too_many_are_not_read() -> None:
    buttons = [{"label": f"{n}", "path": f"/{n}", "more": [n]} for n in range(2 * MOST)]
    found = read(json.dumps({"requests": [{"label": 5}, *buttons]}))
    assert found is not None
    assert [request["label"] for request in found["requests"]] == [f"{n}" for n in range(MOST - 1)]


@given(st.text() | st.recursive(st.text() | st.integers() | st.none(), st.lists).map(json.dumps))
def test_nonsense_never_raises(text: str) -> None:
    assert read(text) is None or text.startswith("{")


@given(st.text(max_size=80), st.text(max_size=600), st.text(max_size=300))
def test_every_url_is_the_gateway_s(label: str, path: str, what: str) -> None:
    found = read(json.dumps({"requests": [{"label": label, "path": path, "what": what}]}))
    for request in found["requests"] if found else []:
        assert request["url"].startswith(GATEWAY + "/")
        assert request["url"].isascii() and request["url"].isprintable()
