"""Servers that sources say: whose count, what is kept, and what cannot be asked."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.config.discover import Discover, parse_discover
from proxy.config.load import Loaded, loads
from proxy.hub.discovery.fed import Fed, sound
from proxy.hub.discovery.keeper import Discoveries
from proxy.sources.source import Given

A, B = "http://10.0.0.1:80", "http://10.0.0.2:80"
FILE = """
[source.etcd]
servers = ["http://127.0.0.1:1"]
[source.consul]
[[route]]
to = "mine"
[upstream.mine]
discover = "source"
"""


def load(**given: Given) -> Loaded:
    return loads(FILE, "routes.toml", {}, given=given)


def test_the_ways_to_write_it() -> None:
    assert parse_discover("source") == Discover("source", "http")
    assert parse_discover("source+https").scheme == "https"
    for wrong in ("source+h2", "source:x", "sources"):
        with pytest.raises(ValueError, match="discover"):
            parse_discover(wrong)


def test_who_gave_the_upstream_says_its_servers() -> None:
    given = Given("1", upstreams={"theirs": {"discover": "source"}})
    loaded, fed = load(consul=given), Fed()
    fed.say("etcd", "theirs", {A: 1}, "")
    assert fed.get("theirs", loaded) is None
    fed.say("consul", "theirs", {B: 1}, "")
    said = fed.get("theirs", loaded)
    assert said is not None and said.servers == {B: 1}


def test_of_an_upstream_of_the_file_the_first_source_does() -> None:
    loaded, fed = load(), Fed()
    fed.say("consul", "mine", {B: 1}, "")
    fed.say("etcd", "mine", {A: 1}, "")
    said = fed.get("mine", loaded)
    assert said is not None and said.servers == {A: 1}
    fed.keep("etcd", ())
    said = fed.get("mine", loaded)
    assert said is not None and said.servers == {B: 1}


def test_what_cannot_be_asked_is_left_out() -> None:
    servers: Any = {A: 1, "https://a": 1, "nonsense\x00": 1, B: 0, "http://c": 2}
    good, wrong = sound(servers, "http", {})
    assert good == {A: 1, "http://c": 2}
    assert [text.partition(" ")[2] for text in wrong] == [
        "is not http://, which this upstream is asked by",
        "is no URL of a server",
        "has the weight 0",
    ]


class Told:
    def __init__(self) -> None:
        self.servers: dict[str, dict[str, int]] = {}

    def __call__(self, name: str, servers: Any, changed: object) -> None:
        self.servers[name] = dict(servers)


async def test_servers_may_be_said_before_their_upstream_is_in_force() -> None:
    told = Told()
    discoveries = Discoveries(told)
    discoveries.configure(load())
    await discoveries.feed()
    discoveries.say("etcd", "later", {A: 1}, "")
    assert "later" not in told.servers
    discoveries.configure(load(etcd=Given("1", upstreams={"later": {"discover": "source"}})))
    await discoveries.feed()
    assert told.servers["later"] == {A: 1}
    discoveries.say("etcd", "later", {A: 1, "tcp://x:1": 1}, "")
    assert told.servers["later"] == {A: 1}
    watch = discoveries.get("later")
    assert watch is not None and "1 cannot be asked" in watch.note
    discoveries.say("etcd", "later", {}, "")
    assert told.servers["later"] == {}
    await discoveries.stop()


async def test_what_cannot_be_asked_is_told_once_and_the_others_are_used(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = Told()
    discoveries = Discoveries(told)
    discoveries.configure(load(etcd=Given("1", upstreams={"later": {"discover": "source"}})))
    await discoveries.feed()
    discoveries.say("etcd", "later", {A: 1}, "")
    odd = "http://not a host!:1"
    discoveries.say("etcd", "later", {B: 1, odd: 1}, "")
    assert told.servers["later"] == {B: 1}
    discoveries.say("etcd", "later", {A: 1, B: 1, odd: 1}, "")
    assert told.servers["later"] == {A: 1, B: 1}
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert len(warnings) == 1 and "1 cannot be asked: 'http://not a host!:1' is no" in warnings[0]
    assert "stay" not in warnings[0]
    discoveries.say("etcd", "later", {}, "1 without an address or a port")
    discoveries.say("etcd", "later", {}, "2 without an address or a port")
    watch = discoveries.get("later")
    assert watch is not None and watch.note == "2 without an address or a port"
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert [one.rpartition("; ")[2] for one in warnings[1:]] == [
        "1 without an address or a port",
        "2 without an address or a port",
    ]
    await discoveries.stop()
