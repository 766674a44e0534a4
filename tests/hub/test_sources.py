"""Sources of configuration as clients and operators see them: a gateway whose routes come from
files beside its own, which change, break and go."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub.gateway import MINIMAL, Gateway, fetch, gateway, until
from tests.hub.test_health import Backend

CONFIG = """
[source.file]
path = "conf.d/*.toml"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "conf.d").mkdir()
    return tmp_path / "conf.d"


@pytest.fixture
def hub(tmp_path: Path, folder: Path) -> Iterator[Gateway]:
    put(folder, "a", '[[route]]\nname = "a"\npath = "/a"\nrespond = "from a"\n')
    with gateway(tmp_path, MINIMAL.format(more=CONFIG), workers=2) as running:
        yield running


def put(folder: Path, name: str, text: str) -> None:
    new = folder / f"{name}.new"
    new.write_text(text)
    new.replace(folder / f"{name}.toml")


def source(hub: Gateway) -> Any:
    return json.loads(hub.ask("/config")[2])["sources"]["file"]


def value(hub: Gateway, name: str, **labels: str) -> float:
    return hub.values().get((name, tuple(sorted({"source": "file", **labels}.items()))), 0.0)


def test_what_a_source_says_is_there_when_the_gateway_is_ready(hub: Gateway) -> None:
    assert hub.get("/a") == "from a"
    assert hub.get("/other") == "pong", "the file's route is there too"
    told = source(hub)
    assert (told["routes"], told["upstreams"], told["error"]) == (1, 0, "")
    assert told["version"]
    labels = {"type": "", "version": told["version"]}
    assert value(hub, "spangate_source_version", **labels) == 1
    assert value(hub, "spangate_source_up") == 1


def test_changes_come_into_force_without_a_signal(hub: Gateway, folder: Path) -> None:
    put(folder, "b", '[[route]]\nname = "b"\npath = "/b"\nrespond = "from b"\n')
    until(lambda: hub.get("/b") == "from b")
    (folder / "a.toml").unlink()
    until(lambda: hub.get("/a") == "pong")


def test_a_file_that_is_wrong_stays_as_it_was_and_others_go_on(hub: Gateway, folder: Path) -> None:
    put(folder, "a", '[[route]]\nname = "a"\npath = "/a"\nrespond = "new"\nnonsense = 1\n')
    put(folder, "b", '[[route]]\nname = "b"\npath = "/b"\nrespond = "from b"\n')
    until(lambda: hub.get("/b") == "from b")
    assert hub.get("/a") == "from a"
    (left_out,) = until(lambda: source(hub)["left_out"])
    assert left_out.startswith("conf.d/a.toml:5: route.nonsense: unknown key")
    put(folder, "a", "[[route]\n")
    until(lambda: "Expected" in source(hub)["left_out"][0])
    assert hub.get("/a") == "from a"
    put(folder, "a", '[[route]]\nname = "a"\npath = "/a"\nrespond = "new"\n')
    until(lambda: hub.get("/a") == "new")
    until(lambda: source(hub)["left_out"] == [])


def test_a_name_of_the_file_is_the_files(hub: Gateway, folder: Path, tmp_path: Path) -> None:
    hub.rewrite(hub.file.read_text() + '[[route]]\nname = "a"\npath = "/a"\nrespond = "mine"\n')
    until(lambda: hub.get("/a") == "mine")
    hub.wait_for_line(r"conf.d/a.toml:1: warning: route.a: .*routes.toml:\d+ has that name")


def test_the_file_read_again_keeps_what_sources_say(hub: Gateway) -> None:
    hub.signal(signal.SIGHUP)
    hub.wait_for_line("reloaded")
    assert hub.get("/a") == "from a"
    hub.rewrite(hub.file.read_text().replace(CONFIG.strip(), ""))
    until(lambda: hub.get("/a") == "pong")
    until(lambda: json.loads(hub.ask("/config")[2])["sources"] == {})


def test_a_route_of_the_file_waits_for_the_upstream_of_a_source(
    tmp_path: Path, folder: Path
) -> None:
    backend = Backend()
    try:
        route = '[[route]]\npath = "/shop"\nto = "orders"\n'
        with gateway(tmp_path, MINIMAL.format(more=CONFIG + route), workers=2) as hub:
            assert hub.ask("/ready")[0] == 200
            assert fetch(hub.port, "/shop")[0] == 503
            put(folder, "up", f'[upstream.orders]\nservers = "{backend.url}"\n')
            until(lambda: fetch(hub.port, "/shop")[0] == 200)
    finally:
        backend.close()
