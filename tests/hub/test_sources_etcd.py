"""A gateway whose routes are in a real etcd, which comes and goes."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from random import random
from typing import Any

import pytest

from tests.hub.gateway import MINIMAL, Gateway, fetch, until
from tests.hub.test_health import Backend
from tests.hub.upgrades import Followed, followed
from tests.sources.kit import Etcd, etcd

CONFIG = """
[source.etcd]
servers = ["{url}"]
"""


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Etcd]:
    with etcd(tmp_path) as running:
        yield running


@pytest.fixture
def hub(tmp_path: Path, member: Etcd) -> Iterator[Followed]:
    text = MINIMAL.format(more=CONFIG.format(url=member.url))
    with followed(tmp_path, text, workers=1) as running:
        yield running


def source(hub: Gateway) -> Any:
    return json.loads(hub.ask("/config")[2])["sources"]["etcd"]


def test_what_etcd_said_outlives_it(member: Etcd, hub: Followed) -> None:
    backend = Backend()
    try:
        member.put("/spangate/upstreams/shop", {"servers": backend.url})
        member.put("/spangate/routes/shop", {"path": "/shop", "to": "shop"})
        last = member.put("/spangate/routes/hi", {"path": "/hi", "respond": "hi"})
        until(lambda: hub.get("/hi") == "hi")
        assert fetch(hub.port, "/shop")[0] == 200
        until(lambda: source(hub)["version"] == str(last))
        member.stop()
        until(lambda: source(hub)["error"])
        hub.signal(signal.SIGHUP)
        hub.wait_for_line("reloaded")
        assert (hub.get("/hi"), fetch(hub.port, "/shop")[0]) == ("hi", 200)
        hub.upgrade()
        until(lambda: source(hub)["error"])
        assert (hub.get("/hi"), fetch(hub.port, "/shop")[0]) == ("hi", 200)
        member.start()
        member.delete("/spangate/routes/hi")
        until(lambda: hub.get("/hi") == "pong")
        assert fetch(hub.port, "/shop")[0] == 200
    finally:
        backend.close()


def test_a_bad_key_holds_up_no_other(member: Etcd, hub: Followed) -> None:
    member.put("/spangate/routes/good", {"path": "/good", "respond": "good"})
    member.put("/spangate/routes/bad", {"path": "/bad", "respond": "bad", "tiemout": "2s"})
    member.put("/spangate/routes/lost", {"path": "/lost", "to": "nowhere"})
    until(lambda: hub.get("/good") == "good")
    until(lambda: len(source(hub)["left_out"]) == 2)
    bad, lost = source(hub)["left_out"]
    assert bad.startswith("etcd key /spangate/routes/bad: route.tiemout: unknown key")
    assert lost.startswith("etcd key /spangate/routes/lost: route.to: there is no upstream")
    assert hub.get("/bad") == "pong"
    hub.wait_for_line("is refused, and left out")
    member.put("/spangate/upstreams/nowhere", {"servers": "http://127.0.0.1:9"})
    until(lambda: fetch(hub.port, "/lost")[0] == 503)
    until(lambda: len(source(hub)["left_out"]) == 1)
    # Lines come in their order, so that this one has those before it.
    hub.wait_for_line(f"version {source(hub)['version']} is in force")
    assert not [line for line in hub.lines if re.search("version [0-9]+ is refused", line)]


def test_a_key_is_told_once_for_each_value_and_what_is_in_force_of_it(
    member: Etcd, hub: Followed
) -> None:
    def warned(key: str) -> list[str]:
        words = ("refused, and", "left out", "stays as it was")
        return [
            line for line in hub.lines if f"routes/{key}:" in line and any(w in line for w in words)
        ]

    def until_in_force(revision: int) -> None:
        hub.wait_for_line(f"version {revision} is in force")

    def more(name: str) -> None:
        """Another key, beside which what was refused is looked at again."""
        until_in_force(member.put(f"/spangate/routes/{name}", {"path": f"/{name}", "respond": "x"}))

    member.put("/spangate/routes/hi", {"path": "/hi", "respond": "hi"})
    member.put("/spangate/routes/new", {"path": "/new", "tiemout": "2s", "respond": "new"})
    until_in_force(member.put("/spangate/routes/cut", "{"))
    until_in_force(member.put("/spangate/routes/hi", {"path": "/hi", "tiemout": "2s"}))
    for name in ("a", "b", "c"):
        more(name)
    assert hub.get("/hi") == "hi"
    assert [len(warned(key)) for key in ("hi", "new", "cut")] == [1, 1, 1], hub.lines
    assert "refused, and it stays as it was: " in warned("hi")[0]
    assert "refused, and left out of what follows: " in warned("new")[0]
    assert "left out: " in warned("cut")[0]
    told = {line.split(":")[0].rpartition("/")[2]: line for line in source(hub)["left_out"]}
    assert {
        key: line.endswith("what it said before is in force") for key, line in told.items()
    } == {
        "hi": True,
        "new": False,
        "cut": False,
    }
    until_in_force(member.put("/spangate/routes/hi", {"path": "/hello", "tiemout": "2s"}))
    until_in_force(member.put("/spangate/routes/cut", "["))
    more("d")
    assert [len(warned(key)) for key in ("hi", "new", "cut")] == [2, 1, 2], hub.lines
    member.put("/spangate/routes/hi", "{")
    more("e")
    assert hub.get("/hi") == "hi"
    assert "stays as it was: " in warned("hi")[2]


def test_changes_faster_than_they_are_judged_are_not_held_up_by_a_bad_key(
    member: Etcd, hub: Followed
) -> None:
    servers = [f"http://127.0.0.1:{port}" for port in range(1, 12_000)]
    member.put("/spangate/upstreams/large", {"servers": servers})  # what takes long to judge
    until(lambda: source(hub)["upstreams"] == 1)
    member.put("/spangate/routes/bad", {"path": "/bad", "respond": "bad", "tiemout": "2s"})
    first = member.put("/spangate/routes/good", {"path": "/good", "respond": "good"})

    def is_in_force() -> bool:
        """While one change follows the other."""
        member.put("/spangate/routes/other", {"path": "/other", "respond": f"{random()}"})
        return int(source(hub)["version"]) > first

    until(is_in_force)
    assert hub.get("/good") == "good"
    assert [line for line in source(hub)["left_out"] if "routes/bad" in line]
    assert not [line for line in hub.lines if re.search("version [0-9]+ is refused", line)]
