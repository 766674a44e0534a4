"""The collector beside a gateway: how it starts, is told, is asked, and ends. The small form."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.gateway import (
    DEADLINE,
    FAKE,
    MINIMAL,
    children,
    fetch,
    gateway,
    is_alive,
    until,
)
from tests.hub.test_kills import Books, Load, exporting, told
from tests.hub.test_stop import Collector

RECEIVER = """
[collector.receivers.otlp]
http = "127.0.0.1:{port}"
[collector.exporters.debug]
[collector.pipelines.traces]
receivers = ["otlp"]
exporters = ["debug"]
"""


@pytest.fixture
def backend() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


def small(text: str) -> str:
    return 'processes = "small"\n' + text


@pytest.mark.parametrize("form", [str, small], ids=["separate", "small"])
def test_an_address_that_is_taken_ends_the_start_with_one_message(
    tmp_path: Path, form: type[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "routes.toml"
        file.write_text(form(MINIMAL.format(more=RECEIVER.format(port=port))))
        command = [sys.executable, "-m", "proxy", "run", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 1
    assert "routes.toml:" in done.stderr and "collector.receivers.otlp.http: " in done.stderr
    assert f"{port}" in done.stderr and "in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("form", [str, small], ids=["separate", "small"])
def test_a_reload_that_the_collector_refuses_changes_nothing(
    tmp_path: Path, form: type[str]
) -> None:
    plain = form(MINIMAL.format(more=""))
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        gateway(tmp_path, plain, workers=1, command=FAKE) as hub,
    ):
        port = taken.getsockname()[1]
        hub.rewrite(form(MINIMAL.format(more=RECEIVER.format(port=port))))
        until(lambda: hub.stats()["reloads"]["failed"] == 1)
        hub.wait_for_line(rf"collector\.receivers\.otlp\.http: .*{port}.*in use")
        assert hub.stats()["reloads"] == {"succeeded": 0, "failed": 1}
        assert "otlp" not in json.loads(hub.ask("/pipelines")[2])["receivers"]
        taken.close()
        hub.rewrite(form(MINIMAL.format(more=RECEIVER.format(port=port))))
        until(lambda: hub.stats()["reloads"]["succeeded"] == 1)
        assert fetch(port, "/v1/traces", method="POST")[0] in (200, 415)
        receivers = json.loads(hub.ask("/pipelines")[2])["receivers"]
        assert receivers["otlp"]["addresses"] == {"http": port}


def test_a_collector_that_hangs_does_not_keep_the_gateway_from_ending(tmp_path: Path) -> None:
    with gateway(tmp_path, workers=1, command=FAKE) as hub:
        (pid,) = children(hub.process.pid, "proxy.collector")
        os.kill(pid, signal.SIGSTOP)
        assert hub.get()
        assert hub.ask("/metrics")[0] == 200, "numbers of workers are there all the same"
        assert hub.end() == 0
        assert not is_alive(pid)


def test_it_outlives_a_signal_to_everybody(tmp_path: Path, backend: Collector) -> None:
    """As a service manager sends it that knows no better."""
    with gateway(tmp_path, exporting(backend), workers=2) as hub, Load(hub.port) as load:
        load.goes_on()
        for pid in (*children(hub.process.pid), hub.process.pid):
            os.kill(pid, signal.SIGTERM)
        assert hub.process.wait(DEADLINE) == 0
    assert not set(load.answered) - told(backend)


def test_what_it_counts_and_what_it_costs_is_shown(tmp_path: Path) -> None:
    with gateway(tmp_path, workers=1) as hub:
        values = hub.values()
        where = (("spangate_process", "collector"),)
        assert values["process_memory_usage_bytes", where] > 1e6
        assert values["process_cpu_time_seconds_total", where] > 0
        (pid,) = children(hub.process.pid, "proxy.collector")
        os.kill(pid, signal.SIGKILL)
        until(lambda: len(children(hub.process.pid, "proxy.collector")) == 1)
        hub.wait_for_line(f"collector \\(pid {pid}\\) was ended by signal 9")
        after = hub.values()
        assert after["spangate_collector_restarts_total", ()] == 1
        spent = "process_cpu_time_seconds_total", where
        assert after[spent] >= values[spent]


def test_a_reload_after_a_death_goes_by_the_file(tmp_path: Path, backend: Collector) -> None:
    with gateway(tmp_path, workers=1) as hub:
        (pid,) = children(hub.process.pid, "proxy.collector")
        os.kill(pid, signal.SIGKILL)
        hub.rewrite(exporting(backend))
        until(lambda: hub.stats()["reloads"]["succeeded"] == 1)
        with Load(hub.port) as load:
            load.goes_on()
        Books(hub).until_delivered()
        assert not set(load.answered) - told(backend)
        (pid,) = children(hub.process.pid, "proxy.collector")
        os.kill(pid, signal.SIGKILL)
        with Load(hub.port) as load:
            load.goes_on()
        assert hub.end() == 0
    assert not set(load.answered) - told(backend)


@pytest.mark.parametrize("form", [str, small], ids=["separate", "small"])
def test_access_lines_go_to_stdout_also_those_of_a_dead_worker(
    tmp_path: Path, form: type[str]
) -> None:
    text = form(MINIMAL.format(more="[access_log]\nstdout = true\n"))
    with (
        (tmp_path / "lines").open("wb") as stdout,
        gateway(tmp_path, text, workers=1, stdout=stdout) as hub,
    ):
        for _ in range(5):
            hub.get("/before")
        os.kill(children(hub.process.pid, "proxy.server")[0], signal.SIGKILL)
        until(lambda: hub.get("/after"))
        assert hub.values()["spangate_access_log_dropped_total", ()] == 0
        assert hub.end() == 0
    paths = [json.loads(line)["path"] for line in (tmp_path / "lines").open()]
    assert paths == ["/before"] * 5 + ["/after"]


def test_small_is_two_processes_that_do_the_same(tmp_path: Path, backend: Collector) -> None:
    with gateway(tmp_path, small(exporting(backend)), workers=1) as hub:
        assert len(children(hub.process.pid)) == 1
        with Load(hub.port) as load:
            books = Books(hub)
            load.goes_on()
            os.kill(children(hub.process.pid, "proxy.server")[0], signal.SIGKILL)
            load.goes_on()
            books.look()
        books.until_delivered()
        assert books.wrong == []
        assert hub.values()["spangate_collector_restarts_total", ()] == 0
        assert hub.end() == 0
    assert not set(load.answered) - told(backend)


def test_which_form_it_is_is_decided_at_the_start(tmp_path: Path) -> None:
    with gateway(tmp_path, workers=1, command=FAKE) as hub:
        hub.rewrite(small(MINIMAL.format(more="")))
        hub.wait_for_line("processes changed: takes effect after a restart")
