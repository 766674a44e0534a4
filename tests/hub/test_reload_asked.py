"""POST /reload, and a file that is watched: each is told what came of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from proxy.hub.watched import config_marks
from tests.hub.gateway import DEADLINE, MINIMAL, Gateway, fetch, gateway, until
from tests.hub.test_reload import ROUTE, reloads

TOKEN = {"Authorization": "Bearer s3cret"}
GUARDED = MINIMAL.replace("[admin]", '[admin]\ntoken = "s3cret"')
WATCHED = "watch = true\n" + MINIMAL


def post(hub: Gateway, **headers: str) -> tuple[int, Any]:
    status, _, body = fetch(hub.admin, "/reload", {**TOKEN, **headers}, "POST")
    try:
        return status, json.loads(body)
    except ValueError:
        return status, body.decode()


def put(hub: Gateway, text: str) -> None:
    """In one step, and nobody is told."""
    new = hub.file.with_suffix(".new")
    new.write_text(text)
    new.replace(hub.file)


def test_the_answer_comes_when_the_file_is_in_force(tmp_path: Path) -> None:
    with gateway(tmp_path, GUARDED.format(more=""), workers=1) as hub:
        put(hub, GUARDED.format(more=ROUTE.format("new")))
        assert post(hub) == (200, {"generation": 2, "warnings": []})
        assert hub.get("/new") == "new"
        assert post(hub, Authorization="Bearer wrong")[0] == 401
        assert reloads(hub) == {"succeeded": 1, "failed": 0}


def test_without_a_token_a_port_takes_no_reload(tmp_path: Path) -> None:
    with gateway(tmp_path, workers=1) as hub:
        assert post(hub)[0] == 403
        assert hub.ask("/reload")[0] == 405
        assert reloads(hub) == {"succeeded": 0, "failed": 0}


def test_a_unix_socket_takes_one_without_a_token(tmp_path: Path) -> None:
    place = tmp_path / "admin"
    text = MINIMAL.format(more="").replace(
        '[admin]\nlisten = "127.0.0.1:0"', f'[admin]\nlisten = "unix:{place}"'
    )
    file = tmp_path / "routes.toml"
    file.write_text(text)
    hub = Gateway(file, 1, (), -3)
    try:
        hub.wait_for_line("ready")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(DEADLINE)
            sock.connect(str(place))
            connection = http.client.HTTPConnection("localhost")
            connection.sock = sock
            connection.request("POST", "/reload")
            response = connection.getresponse()
            assert (response.status, json.load(response)["generation"]) == (200, 2)
    finally:
        hub.close()


def test_what_is_wrong_is_told_with_its_place_and_the_old_one_goes_on(tmp_path: Path) -> None:
    with gateway(tmp_path, GUARDED.format(more=""), workers=1) as hub:
        put(hub, GUARDED.format(more='[[route]]\npaht = "/x"\n'))
        status, told = post(hub)
        assert (status, told["generation"]) == (422, 1)
        unknown = next(error for error in told["errors"] if error["key"] == "route[1].paht")
        assert unknown["file"] == str(hub.file)
        assert unknown["line"] > 0
        assert "path" in unknown["remedy"]
        assert json.loads(hub.ask("/config")[2])["last_reload_error"]
        assert hub.get() == "pong"


def test_many_at_once_are_few_reloads(tmp_path: Path) -> None:
    with gateway(tmp_path, GUARDED.format(more=""), workers=1) as hub:
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: post(hub), range(20)))
        assert {status for status, _ in answers} == {200}
        assert 1 <= reloads(hub)["succeeded"] < 20
        assert max(told["generation"] for _, told in answers) == reloads(hub)["succeeded"] + 1


def swap(folder: Path, name: str, text: str) -> None:
    """As Kubernetes changes what it has mounted: a new folder, and a link to it."""
    new = folder / name
    new.mkdir()
    (new / "routes.toml").write_text(text)
    (folder / "..new").symlink_to(name)
    (folder / "..new").replace(folder / "..data")


def test_a_link_that_is_turned_is_a_change(tmp_path: Path) -> None:
    swap(tmp_path, "..1", WATCHED.format(more=""))
    file = tmp_path / "routes.toml"
    file.symlink_to("..data/routes.toml")
    hub = Gateway(file, 1, (), -3)
    try:
        hub.wait_ready()
        swap(tmp_path, "..2", WATCHED.format(more=ROUTE.format("new")))
        until(lambda: reloads(hub) == {"succeeded": 1, "failed": 0})
        assert hub.get("/new") == "new"
    finally:
        hub.close()


def test_a_bad_file_is_told_once_and_a_good_one_taken(tmp_path: Path) -> None:
    good = WATCHED.format(more=ROUTE.format("new"))
    with gateway(tmp_path, WATCHED.format(more=""), workers=1) as hub:
        put(hub, good[: len(good) // 2] + "[[")
        until(lambda: reloads(hub) == {"succeeded": 0, "failed": 1})
        put(hub, good)
        until(lambda: reloads(hub)["succeeded"] == 1)
        # Until then it was looked at several times, and read once.
        assert reloads(hub)["failed"] == 1
        hub.wait_for_line("reload failed")
        assert sum("reload failed" in line for line in hub.lines) == 1
        assert hub.get("/new") == "new"
        assert not json.loads(hub.ask("/config")[2])["last_reload_error"]


def test_a_file_that_is_gone_is_told_and_its_return_is_a_change(tmp_path: Path) -> None:
    with gateway(tmp_path, WATCHED.format(more=""), workers=1) as hub:
        away = hub.file.rename(tmp_path / "away")
        hub.wait_for_line("cannot read it: No such file")
        assert hub.get() == "pong"
        away.rename(hub.file)
        until(lambda: reloads(hub)["succeeded"] == 1)


def test_what_the_file_refers_to_is_watched_also_when_it_is_not_there(tmp_path: Path) -> None:
    text = WATCHED.format(more='[[route]]\npath = "/s"\nrespond = { body = "${file:said}" }')
    text = text.replace("{ body", "{ status = 200, body")
    (tmp_path / "said").write_text("one")
    with gateway(tmp_path, text, workers=1) as hub:
        assert hub.get("/s") == "one"
        (tmp_path / "said").unlink()
        until(lambda: reloads(hub)["failed"] == 1)
        (tmp_path / "said").write_text("two")
        until(lambda: hub.get("/s") == "two")


def test_pages_for_failures_are_watched(tmp_path: Path) -> None:
    more = '[errors]\npages = { "503" = "503.txt" }\n[[route]]\npath = "/none"\nto = "u"\n'
    more += '[upstream.u]\nservers = ["http://127.0.0.1:1"]\n'
    text = WATCHED.format(more=more)
    page = tmp_path / "503.txt"
    page.write_text("one")
    with gateway(tmp_path, text, workers=1) as hub:
        assert hub.get("/none") == "one"
        page.write_text("two")
        until(lambda: hub.get("/none") == "two")
        page.unlink()
        until(lambda: reloads(hub)["failed"] == 1)
        assert hub.get("/none") == "two"
        page.write_text("two")  # as it is in force: nothing to do
        page.write_text("three")
        until(lambda: hub.get("/none") == "three")
        assert reloads(hub)["failed"] == 1


def test_nobody_watches_when_the_file_does_not_say_so_any_more(tmp_path: Path) -> None:
    with gateway(tmp_path, WATCHED.format(more=""), workers=1) as hub:
        put(hub, MINIMAL.format(more=ROUTE.format("first")))
        until(lambda: reloads(hub)["succeeded"] == 1)
        put(hub, WATCHED.format(more=ROUTE.format("second")))
        hub.signal(signal.SIGHUP)  # the only way by which that can come in
        until(lambda: hub.get("/second") == "second")
        assert reloads(hub)["succeeded"] == 2
        os.utime(hub.file)
        until(lambda: reloads(hub)["succeeded"] == 3)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post_reloads(tmp_path: Path, method: str) -> None:
    with gateway(tmp_path, GUARDED.format(more=""), workers=1) as hub:
        assert fetch(hub.admin, "/reload", TOKEN, method)[0] == 405


def test_a_pipe_is_read_once_and_by_whom_it_is_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.toml"
    os.mkfifo(pipe)
    assert config_marks(str(pipe)) == {}  # opening it would wait for ever
    assert config_marks("-") == {}
    assert config_marks(str(tmp_path / "none")) == {str(tmp_path / "none"): None}


def test_a_file_that_has_become_a_pipe_keeps_no_reload_waiting(tmp_path: Path) -> None:
    with gateway(tmp_path, GUARDED.format(more=""), workers=1) as hub:
        text = hub.file.read_text()
        hub.file.unlink()
        os.mkfifo(hub.file)
        try:
            status, said = post(hub)
        finally:
            os.close(os.open(hub.file, os.O_RDWR | os.O_NONBLOCK))  # whoever waits goes on
        assert status == 422
        assert "pipe" in said["errors"][0]["message"]
        assert "from a file" in said["errors"][0]["remedy"]
        hub.file.unlink()
        hub.file.write_text(text)
        assert post(hub)[0] == 200


def test_marks_are_of_the_file_and_of_what_it_names(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text('a = "${file:one}${file:/two}"\nb = "${file:one}"')
    assert set(config_marks(str(file))) == {str(file), "one", "/two"}
    file.write_bytes(b"\xff ${file:\xff} ${file:} ${file:a\0b}")
    assert len(config_marks(str(file))) == 4


def test_marks_are_the_same_however_the_file_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a gateway that was started with a relative path would read it again at once."""
    file = tmp_path / "routes.toml"
    file.write_text("")
    monkeypatch.chdir(tmp_path)
    assert config_marks("routes.toml") == config_marks(str(file))
