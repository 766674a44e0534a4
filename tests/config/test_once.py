"""One mistake is told once: a good file with a single fault in it has a single problem."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.config.load import loads
from proxy.config.words import missing, route, smaller, top, upstream
from proxy.errors import ConfigError, Problem

Tree = dict[str, Any]
Place = tuple[str | int, ...]

GOOD: Tree = {
    "listen": [{"address": ":8080", "trust": ["10.0.0.0/8"]}],
    "workers": 2,
    "drain_timeout": "5s",
    "labels": {"env": "prod"},
    "tracing": {"sample": 0.1, "extract": ["w3c"], "trust": ["10.0.0.0/8"]},
    "export": {"otlp": ["grpc://a:4317"], "headers": {"x-a": "1"}, "batch_items": 5},
    "admin": {"listen": "127.0.0.1:9901"},
    "limits": {"body": "20MiB", "connections": 5},
    "forwarding": {"trust": ["10.0.0.0/8"], "via": "edge"},
    "defaults": {"timeout": "30s", "retry": {"times": 2, "on": [503]}},
    "route": [
        {
            "name": "orders",
            "host": ["shop.example"],
            "path": "/api/*",
            "when": {"method": ["GET"], "header": {"x-beta": "1"}, "query": {"v": "2"}},
            "to": {"orders": 90, "canary": 10},
            "rewrite": {"strip": "/api"},
            "headers": {
                "request": {"set": {"x-a": "1"}, "remove": ["x-b"]},
                "response": {"add": {"x-c": "1"}},
            },
            "host_header": "orders.internal",
            "timeout": "5s",
            "retry": {"times": 1, "methods": ["GET"], "budget": 0.5},
            "trace": {"sample": 0.5},
            "labels": {"team": "shop"},
        },
        {"path": "/old", "redirect": {"to": "/new", "status": 301}},
        {"path": "/ping", "respond": {"status": 200, "body": "x", "headers": {"x-a": "1"}}},
    ],
    "upstream": {
        "orders": {
            "servers": {"http://10.0.0.1:8000": 1},
            "health": {"path": "/up", "every": "5s", "status": [200]},
            "pool": {"idle": 5},
        },
        "canary": {"servers": {"http://10.0.0.2:8000": 1}, "timeout": "5s"},
    },
    "collector": {
        "receivers": {"otlp": {"grpc": ":4317", "max_request_size": "1MiB"}},
        "processors": {"batch": {"timeout": "1s"}},
        "exporters": {"otlp": {"endpoint": "b:4317", "sending_queue": {"queue_size": "1MiB"}}},
        "pipelines": {
            "traces": {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["otlp"]}
        },
    },
}
WORDS = sorted({*route.ROUTE, *upstream.UPSTREAM, *top.TOP, *smaller.WHEN, *missing.NAMES})
# What may stand in the place of any value, and fits none or few of them.
VALUES: list[Any] = [
    *("", " ", "x", "${NOT_SET}", "${A}${A}", "~(", "1.2.3", "1979", "http://", "/a b", "a\nb"),
    *(-1, 0.5, True, 99999999, [], {}, [True], ["x"], {"x": 1}, [{}], [[]]),
]


def tables(tree: Any, path: Place = ()) -> list[Place]:
    """The places of all tables whose keys are the model's."""
    found: list[Place] = []
    if isinstance(tree, dict):
        free = path and path[-1] in ("labels", "set", "add", "header", "query", "to", "servers")
        headers = (path[-1:] == ("headers",) and path[0] != "route") or "respond" in path[:-1]
        named = path[:1] in (("upstream",), ("collector",)) and len(path) <= 2
        if not free and not headers and (not named or (path[0] == "upstream" and len(path) == 2)):
            found.append(path)
        for key, item in tree.items():
            found += tables(item, (*path, key))
    elif isinstance(tree, list):
        for i, item in enumerate(tree):
            found += tables(item, (*path, i))
    return found


def places(tree: Any, path: Place = ()) -> list[Place]:
    """The places of all values, tables and lists among them."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found = []
    for key, item in items:
        found.append((*path, key))
        if isinstance(item, dict | list):
            found += places(item, (*path, key))
    return found


def toml(value: Any) -> str:
    """A value as an inline one."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def changed(place: Place, value: Any) -> Tree:
    tree = copy.deepcopy(GOOD)
    here: Any = tree
    for step in place[:-1]:
        here = here[step]
    here[place[-1]] = value
    return tree


def told(tree: Tree) -> list[Problem]:
    text = "\n".join(f"{key} = {toml(value)}" for key, value in tree.items())
    try:
        return loads(text, "f", {}).warnings
    except ConfigError as error:
        return error.problems


def test_the_file_is_good() -> None:
    assert told(GOOD) == []


@given(
    st.sampled_from(tables(GOOD)),
    st.one_of(st.sampled_from(WORDS), st.from_regex(r"[a-z_]{3,12}", fullmatch=True)),
    st.sampled_from(["x", 5, True, ["a"], "http://a:1", "/x"]),
)
@example((), "routes", "x")
@example(("route", 0), "proxy_pass", "http://a:1")
def test_an_unknown_key_is_one_problem(table: Place, key: str, value: Any) -> None:
    here: Any = GOOD
    for step in table:
        here = here[step]
    if key in here:
        return
    found = told(changed((*table, key), value))
    errors = [p for p in found if p.message == "unknown key"]
    if errors:  # else it was a key that the model has
        assert [p for p in found if not p.warning] == errors
        assert len(found) == len(errors) == 1
        assert errors[0].remedy


@given(st.sampled_from(places(GOOD)), st.sampled_from(VALUES))
def test_a_value_that_does_not_fit_is_one_problem(place: Place, value: Any) -> None:
    found = told(changed(place, value))
    assert len({(p.line, p.key, p.message) for p in found}) == len(found)
    if any(not p.warning for p in found):
        assert len({p.key for p in found if not p.warning}) == len(
            [p for p in found if not p.warning]
        )


@pytest.mark.parametrize("place", places(GOOD), ids=str)
def test_a_missing_variable_is_one_problem(place: Place) -> None:
    (problem,) = [p for p in told(changed(place, "${NOT_SET}")) if not p.warning]
    assert "NOT_SET is not set" in problem.message
    assert problem.remedy
