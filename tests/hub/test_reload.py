"""HUP: the new file is in force completely, or the old one stays; nobody is refused."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.gateway import DEADLINE, FAKE, MINIMAL, Gateway, fetch, gateway, until
from tests.hub.test_stop import Collector
from tests.hub.test_supervisor import Client
from tests.ports import free_port

ROUTE = '[[route]]\npath = "/{0}"\nrespond = {{ status = 200, body = "{0}" }}\n'


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


def reloads(hub: Gateway) -> dict[str, int]:
    found: dict[str, int] = hub.stats()["reloads"]
    return found


def listening_on(*ports: int, more: str = "") -> str:
    places = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    return MINIMAL.format(more=more).replace('listen = "127.0.0.1:0"', f"listen = [{places}]", 1)


def test_new_routes_are_served_by_the_same_workers(tmp_path: Path) -> None:
    with gateway(tmp_path) as hub:
        pids = {w["pid"] for w in hub.stats()["workers"]}
        hub.rewrite(MINIMAL.format(more=ROUTE.format("new")))
        until(lambda: reloads(hub) == {"succeeded": 1, "failed": 0})
        until(lambda: hub.get("/new") == "new")
        assert {w["pid"] for w in hub.stats()["workers"]} == pids
        assert len(hub.stats()["routes"]) == 2


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("listen = [", "routes.toml"),
        (MINIMAL.format(more='[[route]]\npaht = "/x"\n'), "paht"),
        (listening_on(1).replace("127.0.0.1:1", "192.0.2.1:1"), "cannot listen on 192.0.2.1:1"),
        (
            MINIMAL.format(more='[[route]]\npath = "/u"\nto = "http://[1.2.3.4]:80"\n'),
            "write it without brackets",
        ),
        ("", "there are no routes"),
        ("# all of it is a comment\n" * 5, "there are no routes"),
        (MINIMAL.partition("[[route]]")[0], "there are no routes"),
    ],
    ids=[
        "syntax",
        "unknown key",
        "address that is not ours",
        "a server that is none",
        "empty",
        "comments",
        "no routes",
    ],
)
def test_a_bad_file_changes_nothing(tmp_path: Path, broken: str, said: str) -> None:
    with gateway(tmp_path, workers=1) as hub:
        hub.rewrite(broken)
        until(lambda: reloads(hub) == {"succeeded": 0, "failed": 1})
        hub.wait_for_line(said)
        values = hub.values()
        assert values["spangate_config_last_reload_success", ()] == 0
        assert values["spangate_config_reload_failed_total", ()] == 1
        assert hub.get() == "pong"
        hub.rewrite(MINIMAL.format(more=""))
        until(lambda: hub.values()["spangate_config_last_reload_success", ()] == 1)


def test_a_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    with gateway(tmp_path, workers=1) as hub:
        hub.file.unlink()
        hub.signal(signal.SIGHUP)
        until(lambda: reloads(hub) == {"succeeded": 0, "failed": 1})
        hub.wait_for_line(r"routes\.toml.*cannot read it: No such file")
        assert hub.get() == "pong"


def test_an_editor_that_empties_a_file_before_it_writes_has_time_to(tmp_path: Path) -> None:
    text = MINIMAL.format(more='[[route]]\npath = "/b"\nrespond = { status = 200, body = "b" }\n')
    with gateway(tmp_path, workers=1) as hub:
        hub.file.write_text("")
        hub.signal(signal.SIGHUP)
        hub.file.write_text(text)
        until(lambda: reloads(hub) == {"succeeded": 1, "failed": 0})
        assert hub.get("/b") == "b"


def test_listeners_come_and_go_under_connections(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    with gateway(tmp_path, listening_on(first)) as hub, Client(first) as client:
        old = {w["pid"] for w in hub.stats()["workers"]}
        hub.rewrite(listening_on(first, second))
        until(lambda: reloads(hub)["succeeded"] == 1)
        assert hub.get(port=second) == "pong"
        hub.rewrite(listening_on(first))
        until(lambda: reloads(hub)["succeeded"] == 2)
        with pytest.raises(ConnectionRefusedError):
            hub.get(port=second)
        until(lambda: len(hub.stats()["workers"]) == 2)
        assert old.isdisjoint(w["pid"] for w in hub.stats()["workers"])
        seen = client.answered
        until(lambda: client.answered > seen + 5)
        assert client.refused == []
        assert all(w["restarts"] == 0 for w in hub.stats()["workers"])


def test_a_request_outlives_the_replacement_of_its_worker(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    with gateway(tmp_path, listening_on(first), workers=1, command=FAKE) as hub:
        answers: list[bytes] = []
        slow = threading.Thread(target=lambda: answers.append(fetch(first, "/slow")[2]))
        slow.start()
        until(lambda: hub.stats()["workers"][0]["requests"] == 1)
        hub.rewrite(listening_on(first, second))
        until(lambda: reloads(hub)["succeeded"] == 1)
        assert hub.get(port=second).split()[0] == "2"
        slow.join(DEADLINE)
        assert answers[0].split()[0] == b"1"


def test_a_configuration_that_kills_workers_is_given_up_for_the_old_one(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    poison = ROUTE.format("p") + 'name = "poison"\n'
    with gateway(tmp_path, listening_on(first), command=FAKE) as hub:
        old = {w["pid"] for w in hub.stats()["workers"]}
        hub.rewrite(listening_on(first, second, more=poison))
        until(lambda: reloads(hub)["failed"] == 1)
        assert {w["pid"] for w in hub.stats()["workers"] if w["state"] == "ready"} == old
        assert int(hub.get(port=first).split()[1]) in old
        with pytest.raises(ConnectionRefusedError):
            hub.get(port=second)


def test_telemetry_moves_to_another_collector_and_none_is_lost(
    tmp_path: Path, collector: Collector
) -> None:
    other = Collector()
    with gateway(tmp_path, _export(collector), workers=1, command=FAKE) as hub:
        hub.get()
        hub.ask("/metrics")  # brings the span into the first pipeline
        hub.rewrite(_export(other))
        until(lambda: reloads(hub)["succeeded"] == 1)
        hub.get()
        hub.get()
        assert hub.end() == 0
    assert (collector.spans(), other.spans()) == (1, 2)
    other.server.shutdown()
    other.server.server_close()


def _export(collector: Collector) -> str:
    return MINIMAL.format(more=f'[export]\notlp = "{collector.url}"\nbatch_age = "1h"\n')


def test_what_needs_a_restart_is_said(tmp_path: Path) -> None:
    with gateway(tmp_path, workers=1) as hub:
        text = MINIMAL.format(more="").replace('[admin]\nlisten = "127.0.0.1:0"', "")
        hub.rewrite(text + '[admin]\nlisten = "127.0.0.1:1"\n')
        hub.wait_for_line("admin.listen changed: takes effect after a restart")
        until(lambda: reloads(hub)["succeeded"] == 1)
        assert hub.ask("/ready")[0] == 200
