"""Tables that are kept packed are as those that are not, to whoever reads or compares them."""

from __future__ import annotations

import msgspec

from proxy.sources.packed import Listed, Named, plain
from proxy.sources.source import Given

ROUTES = [{"path": "/a/*", "to": {"shop": 1}}, {"path": "/b", "respond": {"status": 204}}]
UPSTREAMS = {"shop": {"servers": {"http://10.0.0.7:8000": 2}}, "cart": {"discover": "source"}}

pack = msgspec.msgpack.encode


def listed() -> Listed:
    return Listed(pack(route) for route in ROUTES)


def named() -> Named:
    return Named({name: pack(table) for name, table in UPSTREAMS.items()})


def test_they_read_as_what_was_packed() -> None:
    assert list(listed()) == ROUTES
    assert listed()[1] == ROUTES[1]
    assert list(listed()[1:]) == ROUTES[1:]
    assert dict(named()) == UPSTREAMS
    assert (len(listed()), len(named()), "cart" in named(), "till" in named()) == (
        2,
        2,
        True,
        False,
    )


def test_they_are_the_same_where_their_tables_are() -> None:
    assert listed() == listed()
    assert listed() == ROUTES
    assert listed() != ROUTES[:1]
    assert listed() != listed()[:1]
    assert named() == named()
    assert named() == UPSTREAMS
    assert named() != {**UPSTREAMS, "cart": {}}
    assert named() != Named({})


def test_a_reader_may_change_what_it_has_read() -> None:
    tables = named()
    dict(tables["shop"])["servers"].clear()
    assert dict(tables) == UPSTREAMS


def test_they_go_to_another_process_as_plain_tables() -> None:
    sent = msgspec.msgpack.encode(Given("1", listed(), named()), enc_hook=plain)
    given = msgspec.msgpack.decode(sent, type=Given)
    assert (given.routes, given.upstreams) == (ROUTES, UPSTREAMS)
