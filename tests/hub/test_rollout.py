"""A configuration comes into force in all workers or in none, and the hub says who refused."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.hub.gateway import FAKE, MINIMAL, Gateway, gateway, until
from tests.hub.test_reload import ROUTE, listening_on, reloads
from tests.ports import free_port


def told(name: str) -> str:
    """A file with one route more, whose name tells the fake what to do."""
    return MINIMAL.format(more=ROUTE.format("more") + f'name = "{name}"\n')


def in_force(hub: Gateway) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(hub.ask("/config")[2])
    return {key: found[key] for key in ("generation", "pending_restart")}


def routes_of(hub: Gateway, workers: int = 2) -> set[int]:
    """How many routes workers have, asked until each of them has answered."""
    seen: dict[str, int] = {}
    until(lambda: seen.update([_one(hub)]) or len(seen) == workers)
    return set(seen.values())


def _one(hub: Gateway) -> tuple[str, int]:
    worker, _, routes, *_ = hub.get().split()
    return worker, int(routes)


@pytest.mark.parametrize("name", ["refuse", "refuse-2"])
def test_one_refusal_keeps_the_old_configuration_everywhere(tmp_path: Path, name: str) -> None:
    with gateway(tmp_path, command=FAKE) as hub:
        pids = {w["pid"] for w in hub.stats()["workers"]}
        hub.rewrite(told(name))
        until(lambda: reloads(hub) == {"succeeded": 0, "failed": 1})
        assert routes_of(hub) == {1}
        assert {w["pid"] for w in hub.stats()["workers"]} == pids
        who = "2" if name == "refuse-2" else r"[12]"
        said = rf"worker {who} refused the configuration: it is not to my taste"
        hub.wait_for_line(said)
        assert "it is not to my taste" in hub.stats()["last_reload_error"]
        values = hub.values()
        assert values["spangate_config_refused_total", ()] == 1
        assert values["spangate_config_generation", ()] == 1
        assert values["spangate_config_last_reload_success", ()] == 0
        hub.rewrite(told("fine"))
        until(lambda: reloads(hub) == {"succeeded": 1, "failed": 1})
        assert routes_of(hub) == {2}
        assert hub.stats()["last_reload_error"] == ""
        assert in_force(hub) == {"generation": 3, "pending_restart": []}
        assert hub.values()["spangate_config_generation", ()] == 3


def test_a_worker_that_dies_of_it_twice_has_refused_it(tmp_path: Path) -> None:
    with gateway(tmp_path, command=FAKE) as hub:
        hub.rewrite(told("poison"))
        until(lambda: reloads(hub) == {"succeeded": 0, "failed": 1})
        hub.wait_for_line(r"workers [\d, ]+ ended while they prepared the configuration")
        until(lambda: [w["state"] for w in hub.stats()["workers"]] == ["ready"] * 2)
        assert routes_of(hub) == {1}


@pytest.mark.parametrize("name", ["poison-1", "die-1"])
def test_a_worker_that_dies_between_is_replaced_and_told(tmp_path: Path, name: str) -> None:
    with gateway(tmp_path, command=FAKE) as hub:
        hub.rewrite(told(name))
        until(lambda: reloads(hub) == {"succeeded": 1, "failed": 0})
        until(lambda: {w["id"] for w in hub.stats()["workers"] if w["state"] == "ready"} == {2, 3})
        assert routes_of(hub) == {2}


def test_a_worker_that_says_nothing_keeps_the_old_one_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPANGATE_TEST_ANSWER", "3")
    with gateway(tmp_path, command=FAKE) as hub:
        hub.rewrite(told("silent-2"))
        until(lambda: reloads(hub) == {"succeeded": 0, "failed": 1})
        hub.wait_for_line("worker 2 did not prepare the configuration within 3 s")
        assert routes_of(hub) == {1}


def test_a_worker_that_hangs_in_applying_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPANGATE_TEST_ANSWER", "3")
    with gateway(tmp_path, command=FAKE) as hub:
        hub.rewrite(told("hang-2"))
        until(lambda: reloads(hub) == {"succeeded": 1, "failed": 0})
        hub.wait_for_line("worker 2 did not apply the configuration within 3 s, and is killed")
        until(lambda: {w["id"] for w in hub.stats()["workers"] if w["state"] == "ready"} == {1, 3})
        assert routes_of(hub) == {2}


def test_a_storm_of_hups_ends_with_the_last_file(tmp_path: Path) -> None:
    with gateway(tmp_path, command=FAKE) as hub:
        for number in range(30):
            hub.rewrite(told(f"n{number}"))
        hub.rewrite(MINIMAL.format(more=ROUTE.format("a") + ROUTE.format("b")))
        until(lambda: routes_of(hub) == {3})
        until(lambda: hub.stats()["routes"][-1]["path"] == "/b")
        assert reloads(hub)["failed"] == 0


def test_a_reload_while_workers_are_killed(tmp_path: Path) -> None:
    with gateway(tmp_path) as hub:
        for number in range(1, 4):
            victim = hub.stats()["workers"][0]["pid"]
            os.kill(victim, signal.SIGKILL)
            hub.rewrite(MINIMAL.format(more=ROUTE.format(f"n{number}")))
            until(lambda number=number: reloads(hub)["succeeded"] == number)
            for _ in range(8):  # whichever worker answers
                assert hub.get(f"/n{number}") == f"n{number}"


def test_what_waits_for_a_restart_is_told_once_and_stays_visible(tmp_path: Path) -> None:
    with gateway(tmp_path, workers=1) as hub:
        changed = "workers = 7\n" + MINIMAL.format(more="")
        for number in (1, 2):
            hub.rewrite(changed)
            until(lambda number=number: reloads(hub)["succeeded"] == number)
            assert in_force(hub) == {"generation": number + 1, "pending_restart": ["workers"]}
        hub.wait_for_line("takes effect after a restart")
        assert len([line for line in hub.lines if "takes effect after a restart" in line]) == 1
        hub.rewrite(MINIMAL.format(more=""))
        until(lambda: reloads(hub)["succeeded"] == 3)
        assert in_force(hub)["pending_restart"] == []


def test_other_listeners_and_a_refusal_say_why(tmp_path: Path) -> None:
    first, second = free_port(), free_port()
    with gateway(tmp_path, listening_on(first), command=FAKE) as hub:
        more = ROUTE.format("p") + 'name = "refuse"\n'
        hub.rewrite(listening_on(first, second, more=more))
        until(lambda: reloads(hub)["failed"] == 1)
        hub.wait_for_line("refused the configuration: it is not to my taste")
        assert in_force(hub)["generation"] == 1
        with pytest.raises(ConnectionRefusedError):
            hub.get(port=second)


def test_a_health_change_reaches_workers_that_are_told_of_a_configuration(tmp_path: Path) -> None:
    """Both at once, many times: no frame overtakes another, and no worker ends on the old one."""
    with gateway(tmp_path) as hub:
        for number in range(1, 11):
            hub.rewrite(MINIMAL.format(more=ROUTE.format(f"n{number}")))
        hub.rewrite(MINIMAL.format(more=ROUTE.format("last")))
        until(lambda: hub.stats()["routes"][-1]["path"] == "/last")
        until(lambda: all(hub.get("/last") == "last" for _ in range(4)))
        assert reloads(hub)["failed"] == 0
