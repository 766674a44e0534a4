"""`kill -9` of any process under load: every answered request is told, and the books balance."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.hub.gateway import DEADLINE, MINIMAL, Gateway, children, gateway, is_alive, until
from tests.hub.test_stop import Collector

KILLS = 4


@pytest.fixture
def backend() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.server.shutdown()
    found.server.server_close()


def told(backend: Collector) -> set[str]:
    """Trace ids of the SERVER spans that have arrived."""
    return {
        span.trace_id.hex()
        for body in list(backend.received.get("/v1/traces", []))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
        if span.kind == span.SPAN_KIND_SERVER
    }


class Load:
    """Requests, each with a trace id of its own; `answered` has those that got their answer."""

    def __init__(self, port: int, clients: int = 3) -> None:
        self.answered: list[str] = []
        self._port = port
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(DEADLINE)

    def goes_on(self) -> None:
        """Wait until it has got some more answers."""
        seen = len(self.answered)
        until(lambda: len(self.answered) > seen + 30)

    def _run(self) -> None:
        while not self._over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE)
            with suppress(OSError, http.client.HTTPException):
                while not self._over.is_set():
                    self._ask(connection)
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        trace = secrets.token_hex(16)
        connection.request("GET", "/x", headers={"traceparent": f"00-{trace}-{'1' * 16}-01"})
        response = connection.getresponse()
        response.read()
        if response.status == 200:
            self.answered.append(trace)


class Books:
    """Looked at again and again: they balance, and nothing falls."""

    def __init__(self, hub: Gateway) -> None:
        self._hub = hub
        self._highest: dict[str, float] = {}
        self.wrong: list[str] = []
        self.looks = 0

    def look(self) -> Any:
        books = self._hub.stats()["export"]
        self.looks += 1
        for exporter, signals in books.items():
            for name, book in signals.items():
                done = book["exported"] + sum(book["dropped"].values()) + book["queued"]
                for column in ("created", "exported"):
                    key = f"{exporter} {name} {column}"
                    fell = book[column] < self._highest.get(key, 0)
                    self._highest[key] = book[column]
                    if fell or book["created"] != done:
                        self.wrong.append(f"{key}: {book}")
        return books

    @property
    def exported(self) -> int:
        books = self.look().values()
        return sum(book["exported"] for signals in books for book in signals.values())

    def go_on(self) -> None:
        """Wait until something more is delivered."""
        seen = self.exported
        until(lambda: self.exported > seen)

    def until_delivered(self) -> None:
        """All that workers have made."""
        until(lambda: not any(self._on_its_way()))

    def _on_its_way(self) -> Iterator[float]:
        for signals in self.look().values():
            yield from (book["queued"] for book in signals.values())
        values = self._hub.values()
        yield from (v for (name, _), v in values.items() if name == "spangate_link_pending")


def exporting(backend: Collector, more: str = "") -> str:
    return more + MINIMAL.format(
        more=f"""
[export]
otlp = "{backend.url}"
signals = ["traces", "logs"]
batch_age = "100ms"
"""
    )


@pytest.mark.parametrize("kind", ["server", "collector"])
def test_a_process_is_killed_again_and_again(tmp_path: Path, backend: Collector, kind: str) -> None:
    with gateway(tmp_path, exporting(backend), workers=2) as hub, Load(hub.port) as load:
        books = Books(hub)
        for _ in range(KILLS):
            load.goes_on()
            books.go_on()
            victim = children(hub.process.pid, f"proxy.{kind}")[0]
            os.kill(victim, signal.SIGKILL)
            until(lambda victim=victim: books.look() and not is_alive(victim))
            until(lambda: len(children(hub.process.pid, f"proxy.{kind}")) == 1 + (kind == "server"))
        load.goes_on()
        load.__exit__()
        books.until_delivered()
        values = hub.values()
        assert hub.end() == 0
    assert not set(load.answered) - told(backend)
    assert books.wrong == [] and books.looks > KILLS
    made = values["spangate_records_created_total", (("signal", "traces"),)]
    labels = (("exporter", backend.url), ("signal", "traces"))
    assert values["spangate_export_exported_total", labels] >= made >= len(load.answered)
    if kind == "collector":
        assert values["spangate_collector_restarts_total", ()] == KILLS


def test_the_hub_is_killed(tmp_path: Path, backend: Collector) -> None:
    with gateway(tmp_path, exporting(backend), workers=2) as hub, Load(hub.port) as load:
        load.goes_on()
        family = children(hub.process.pid)
        assert len(family) == 3
        hub.process.kill()
        until(lambda: not any(map(is_alive, family)))
    assert not set(load.answered) - told(backend)


def test_the_worker_is_killed_while_there_is_no_collector(
    tmp_path: Path, backend: Collector
) -> None:
    with gateway(tmp_path, exporting(backend), workers=1) as hub:
        with Load(hub.port) as load:
            load.goes_on()
            for name in ("proxy.collector", "proxy.server"):
                os.kill(children(hub.process.pid, name)[0], signal.SIGKILL)
            load.goes_on()
        Books(hub).until_delivered()
        assert hub.end() == 0
    assert not set(load.answered) - told(backend)


def test_what_the_dead_collector_had_on_disk_is_in_the_books_once(
    tmp_path: Path, backend: Collector
) -> None:
    text = exporting(backend).replace("[export]", f'[export]\nstorage = "{tmp_path}/queue"')
    text = text.replace(backend.url, "http://127.0.0.1:1")  # nobody takes it
    with gateway(tmp_path, text, workers=1) as hub, Load(hub.port) as load:
        load.goes_on()
        load.__exit__()
        books = Books(hub)
        until(lambda: list((tmp_path / "queue").rglob("*.*")))
        os.kill(children(hub.process.pid, "proxy.collector")[0], signal.SIGKILL)
        until(lambda: hub.values()["spangate_collector_restarts_total", ()] == 1)
        until(lambda: len(children(hub.process.pid, "proxy.collector")) == 1)
        made = hub.values()["spangate_records_created_total", (("signal", "logs"),)]

        def settled() -> bool:
            book = books.look()["http://127.0.0.1:1"]["logs"]
            return bool(book["created"] == book["queued"] == made)

        until(settled)
        assert books.wrong == []


def test_books_are_told_while_no_collector_lives(tmp_path: Path, backend: Collector) -> None:
    """One that cannot be started again: its port is taken as soon as it has died."""
    import socket

    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        more = f"""
[collector.receivers.otlp]
http = "127.0.0.1:{port}"
[collector.exporters.debug]
[collector.pipelines.metrics]
receivers = ["otlp"]
exporters = ["debug"]
"""
        with gateway(tmp_path, exporting(backend) + more, workers=1) as hub:
            with Load(hub.port) as load:
                load.goes_on()
            Books(hub).until_delivered()
            before = counts(hub)
            os.kill(children(hub.process.pid, "proxy.collector")[0], signal.SIGKILL)
            until(lambda: _listens(sock))
            hub.wait_for_line("cannot start the collector: .*in use")
            assert hub.get() == "pong"
            assert counts(hub) == before
            assert json.loads(hub.ask("/pipelines")[2]) is not None
            sock.close()
            until(lambda: len(children(hub.process.pid, "proxy.collector")) == 1)
            Books(hub).until_delivered()
            assert hub.end() == 0


def counts(hub: Gateway) -> dict[str, dict[str, list[Any]]]:
    """The books without how each exporter fares, which nobody knows while no collector lives."""
    names = ("created", "exported", "dropped", "queued", "balanced")
    return {
        exporter: {signal: [book[name] for name in names] for signal, book in signals.items()}
        for exporter, signals in hub.stats()["export"].items()
    }


def _listens(sock: Any) -> bool:
    with suppress(OSError):
        sock.listen()
        return True
    return False
