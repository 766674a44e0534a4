"""Recent traces on disk, with a hub and its collector: they are found after a restart."""

from __future__ import annotations

import json
from pathlib import Path

from tests.hub import seen
from tests.hub.gateway import Gateway, gateway, until
from tests.hub.seen import traces


def text(path: str = "${RECENT_FOLDER:-kept}") -> str:
    return seen.text(f'[recent]\npath = "{path}"')


def paths(hub: Gateway, query: str = "") -> set[str]:
    return {trace["path"] for trace in traces(hub, query)}


def test_traces_are_found_after_a_restart(tmp_path: Path) -> None:
    with gateway(tmp_path, text()) as hub:
        hub.get("/pong/1")
        hub.get("/gone")
        until(lambda: paths(hub) == {"/pong/1", "/gone"})
        assert hub.end() == 0
    assert list((tmp_path / "kept").glob("*.batches"))
    with gateway(tmp_path, text()) as hub:
        hub.get("/pong/2")
        until(lambda: paths(hub) == {"/pong/1", "/pong/2", "/gone"})
        assert len(traces(hub)) == 3
        assert paths(hub, "error=true") == {"/gone"}
        assert paths(hub, "route=pong&since=10m") == {"/pong/1", "/pong/2"}
        (failed,) = traces(hub, "q=connection_refused")
        status, _, body = hub.ask(f"/api/traces/{failed['trace_id']}")
        assert status == 200
        assert [span["kind"] for span in json.loads(body)["spans"]] == ["server", "client"]


def test_traces_are_found_after_a_kill(tmp_path: Path) -> None:
    with gateway(tmp_path, text()) as hub:
        hub.get("/pong/1")
        until(lambda: json.loads(hub.ask("/pipelines")[2])["recent"]["disk"]["bytes"] > 100)
    with gateway(tmp_path, text()) as hub:  # the collector of the other may have to end first
        until(lambda: paths(hub) == {"/pong/1"})


def test_a_reload_moves_to_another_folder(tmp_path: Path) -> None:
    with gateway(tmp_path, text("one")) as hub:
        hub.get("/pong/1")
        until(lambda: paths(hub) == {"/pong/1"})
        hub.rewrite(text("two"))
        until(lambda: hub.values()["spangate_config_generation", ()] == 2)
        hub.get("/pong/2")
        until(lambda: paths(hub) == {"/pong/1", "/pong/2"})
        disk = json.loads(hub.ask("/pipelines")[2])["recent"]["disk"]
        assert disk["path"] == str(tmp_path / "two")
        assert disk["healthy"]
        hub.rewrite(text(""))
        until(lambda: hub.values()["spangate_config_generation", ()] == 3)
        assert "recent" not in json.loads(hub.ask("/pipelines")[2])
        assert hub.end() == 0
    for folder, path in (("one", "/pong/1"), ("two", "/pong/2")):
        with gateway(tmp_path, text(folder)) as hub:
            until(lambda path=path: paths(hub) == {path})


def test_a_folder_that_is_in_use_costs_the_disk_alone(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    shared = str(tmp_path / "shared")
    with gateway(one, text(shared)) as first, gateway(two, text(shared)) as second:
        second.wait_for_line(
            r"recent telemetry on disk: .* is in use by process \d+;.*memory alone"
        )
        second.get("/pong/2")
        until(lambda: paths(second) == {"/pong/2"})
        disk = json.loads(second.ask("/pipelines")[2])["recent"]["disk"]
        assert not disk["healthy"]
        assert "give each gateway a folder" in disk["last_error"]
        assert first.end() == 0
        second.wait_for_line("recent telemetry on disk: works again")
