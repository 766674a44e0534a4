"""A user's request through a gateway, four services and their sidecars: one trace, one tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from tests.scenarios.apps import B3, App
from tests.scenarios.receiver import chain, receiver
from tests.scenarios.shop import CALLERS, NAMES, Shop, shop

pytestmark = pytest.mark.timeout(300)

# Each service but the last: who is asked, whom it asks by itself, who it is sent on to.
WHOLE = [
    ("gateway", "SERVER"),
    ("gateway", "CLIENT"),
    *[(name, kind) for name in NAMES[:-1] for kind in ("SERVER", "CLIENT", "CLIENT")],
    (NAMES[-1], "SERVER"),
    (NAMES[-1], "CLIENT"),
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with receiver() as told, shop(tmp_path_factory.mktemp("shop"), told) as made:
        yield made


@contextmanager
def changed(app: App, **how: Any) -> Iterator[None]:
    before = {name: getattr(app, name) for name in how}
    for name, value in how.items():
        setattr(app, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(app, name, value)


def test_one_request_is_one_tree(running: Shop) -> None:
    assert running.ask("/shop/one") == (200, b"users orders payments database")
    spans = chain(running.receiver.trace("/shop/one", len(WHOLE)))
    assert [one.said for one in spans] == WHOLE
    assert {one["http.response.status_code"] for one in spans} == {200}
    assert not any(one.failed for one in spans)
    for outer, inner in pairwise(spans):
        assert outer.span.start_time_unix_nano <= inner.span.start_time_unix_nano
        assert inner.span.end_time_unix_nano <= outer.span.end_time_unix_nano
    assert spans[0].span.name == "GET /shop/*"


def test_each_hop_says_who_the_other_is(running: Shop) -> None:
    assert running.ask("/shop/who")[0] == 200
    spans = chain(running.receiver.trace("/shop/who", len(WHOLE)))
    told = [(*one.said, one["spangate.peer.identity"]) for one in spans]
    expected: list[tuple[str, str, str | None]] = [
        ("gateway", "SERVER", None),
        ("gateway", "CLIENT", "spiffe://mesh/users"),
    ]
    for name, following in zip(NAMES, (*NAMES[1:], ""), strict=True):
        expected += [
            (name, "SERVER", f"spiffe://mesh/{CALLERS[name]}"),
            (name, "CLIENT", None),  # to its application
        ]
        expected += [(name, "CLIENT", f"spiffe://mesh/{following}")] if following else []
    assert told == expected


def test_headers_of_b3_are_enough(running: Shop) -> None:
    with changed(running.apps["users"], copies=B3):
        assert running.ask("/shop/b3")[0] == 200
    spans = chain(running.receiver.trace("/shop/b3", len(WHOLE)))
    assert [one.said for one in spans] == WHOLE
