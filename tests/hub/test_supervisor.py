"""Workers that die are replaced, nobody is refused meanwhile, and nothing they recorded is lost."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import threading
from pathlib import Path

import pytest

from proxy.hub.ended import backoff, describe_exit
from tests.hub.gateway import DEADLINE, FAKE, MINIMAL, Gateway, fetch, gateway, is_alive, until


def created(hub: Gateway, signal_name: str = "traces") -> tuple[float, float, float]:
    """(made by workers, booked, not read by the collector yet)."""
    values = hub.values()
    label = ("signal", signal_name)
    return (
        values["spangate_records_created_total", (label,)],
        values.get(("spangate_export_created_total", (("exporter", "recent"), label)), 0.0),
        values["spangate_link_pending", (label,)],
    )


class Client:
    """Opens a new connection for each request until told to stop; keeps what went wrong."""

    def __init__(self, port: int) -> None:
        self.refused: list[str] = []
        self.answered = 0
        self._port = port
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(DEADLINE)

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                fetch(self._port, "/")
                self.answered += 1
            except ConnectionRefusedError as error:
                self.refused.append(str(error))
            except (OSError, http.client.HTTPException):
                pass  # it was in the killed worker's hands, perhaps with half of its answer out


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_worker_is_replaced_and_no_connection_is_refused(
    tmp_path: Path, workers: int
) -> None:
    with gateway(tmp_path, workers=workers) as hub, Client(hub.port) as client:
        until(lambda: client.answered > 5)
        for _ in range(3):
            victim = hub.stats()["workers"][0]["pid"]
            os.kill(victim, signal.SIGKILL)
            until(
                lambda victim=victim: (
                    len(w := hub.stats()["workers"]) == workers
                    and all(x["pid"] != victim and x["state"] == "ready" for x in w)
                )
            )
        seen = client.answered
        until(lambda: client.answered > seen + 5)
        assert client.refused == []
        assert sum(w["restarts"] for w in hub.stats()["workers"]) == 3
        hub.wait_for_line("was ended by signal 9")


def test_a_worker_that_stops_by_itself_is_replaced_while_it_finishes(tmp_path: Path) -> None:
    with gateway(tmp_path, workers=1) as hub:
        idle = socket.create_connection(("127.0.0.1", hub.port), DEADLINE)
        until(lambda: hub.stats()["workers"][0]["connections"] == 1)
        os.kill(hub.stats()["workers"][0]["pid"], signal.SIGTERM)
        until(lambda: [w["id"] for w in hub.stats()["workers"] if w["state"] == "ready"] == [2])
        assert hub.get() == "pong"
        idle.close()
        until(lambda: [w["id"] for w in hub.stats()["workers"]] == [2])


def test_counters_never_fall_when_a_worker_dies(tmp_path: Path) -> None:
    name = "spangate_downstream_connections_total"
    with gateway(tmp_path, workers=1, command=FAKE) as hub:
        for _ in range(5):
            hub.get()
        before = hub.values()[name, ()]
        os.kill(hub.stats()["workers"][0]["pid"], signal.SIGKILL)
        until(lambda: [w["id"] for w in hub.stats()["workers"] if w["state"] == "ready"] == [2])
        hub.get()
        assert (before, hub.values()[name, ()]) == (5, 6)


def test_what_a_dead_worker_recorded_is_not_lost(tmp_path: Path) -> None:
    """The worker is killed before it has told anybody of what it recorded."""
    with gateway(tmp_path, workers=1, command=FAKE) as hub:
        hub.get()
        assert created(hub) == (1, 1, 0)
        victim = hub.stats()["workers"][0]["pid"]
        hub.get()
        hub.get()
        os.kill(victim, signal.SIGKILL)
        until(lambda: hub.stats()["workers"][0]["pid"] != victim)
        until(lambda: created(hub) == (3, 3, 0))
        hub.get()
        assert created(hub) == (4, 4, 0)


def test_a_worker_that_keeps_dying_is_not_started_in_a_tight_loop(tmp_path: Path) -> None:
    with gateway(tmp_path, workers=1, command=FAKE) as hub:
        for _ in range(3):
            until(lambda: _crashes(hub))
        until(lambda: hub.get("/") != "")
        until(lambda: _deaths(hub) >= 3)
        assert _deaths(hub) == 3


def _deaths(hub: Gateway) -> int:
    return sum("exited with status 7" in line for line in hub.lines)


def _crashes(hub: Gateway) -> bool:
    """Whether a worker was there to be crashed."""
    before = len(hub.lines)
    with contextlib.suppress(OSError):
        hub.get("/crash")
    return bool(until(lambda: len(hub.lines) > before))


@pytest.mark.parametrize(
    ("deaths", "seconds"), [(0, 0), (1, 0), (2, 0.1), (3, 0.2), (4, 0.4), (5, 0.5), (99, 0.5)]
)
def test_backoff(deaths: int, seconds: float) -> None:
    assert backoff(deaths) == pytest.approx(seconds)


@pytest.mark.parametrize(("status", "text"), [(-9, "signal 9"), (3, "status 3")])
def test_exits_are_described(status: int, text: str) -> None:
    assert text in describe_exit(status)


def test_workers_do_not_outlive_a_hub_that_is_killed(tmp_path: Path) -> None:
    with gateway(tmp_path) as hub:
        pids = [w["pid"] for w in hub.stats()["workers"]]
        hub.process.kill()
        until(lambda: not any(is_alive(pid) for pid in pids))


def test_workers_get_the_listeners_and_the_configuration(tmp_path: Path) -> None:
    text = MINIMAL.format(more='[[route]]\npath = "/b"\nrespond = { status = 204 }\n')
    with gateway(tmp_path, text, workers=1, command=FAKE) as hub:
        worker, pid, routes, _ = hub.get().split(maxsplit=3)
        assert (worker, int(pid), routes) == ("1", hub.stats()["workers"][0]["pid"], "2")
