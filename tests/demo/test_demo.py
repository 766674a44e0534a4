"""`make run` as a newcomer meets it: what it prints, the first curl, the tree, Ctrl-C."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.demo.services import PORTS
from tests import processes

DEADLINE = 60.0  # seconds: generous, since others run at once


class Demo:
    """A running demo on ports of its own."""

    def __init__(self, *, terminal: bool = False, **environ: str) -> None:
        self.text = ""
        ours, theirs = os.openpty() if terminal else os.pipe()
        self.output = os.fdopen(ours, encoding="utf-8", errors="replace")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "proxy.demo"],
            cwd=Path(__file__).parents[2],
            env={**os.environ, "PORT": "0", "ADMIN_PORT": "0", **environ},
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._ended = False
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # EIO: the end of a terminal
            for line in self.output:
                with self._more:
                    self.text += line
                    self._more.notify()
        with self._more:
            self._ended = True
            self._more.notify()

    def wait_for(self, pattern: str) -> re.Match[str]:
        with self._more:
            self._more.wait_for(lambda: self._ended or re.search(pattern, self.text), DEADLINE)
        found = re.search(pattern, self.text)
        assert found is not None, self.text
        return found

    def get(self, path: str) -> tuple[int, bytes]:
        port = int(self.wait_for(r"gateway +http://localhost:(\d+)")[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def end(self) -> int:
        """Wait for the end; everything is in `text` then."""
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code


@pytest.fixture
def demo() -> Iterator[Demo]:
    running = Demo()
    yield running
    close(running)


def close(demo: Demo) -> None:
    if demo.process.poll() is None:
        demo.process.kill()
    demo.end()
    demo.output.close()


def test_the_first_curl_leaves_a_tree_and_ctrl_c_leaves_nothing(demo: Demo) -> None:
    pid = int(demo.wait_for(r"kill -HUP (\d+)")[1])
    demo.wait_for("Ctrl-C ends everything")

    status, body = demo.get("/shop/orders/42")
    assert (status, json.loads(body)["payment"]) == (200, "received")
    tree = demo.wait_for(r"trace [0-9a-f]{32}  6 spans.*\n((?:.+\n){6})")[1]
    kinds = ["server", "client"] * 3
    assert re.findall(r"^\W*GET \S+ +(\w+) +200 ", tree, re.MULTILINE) == kinds
    assert demo.get("/shop/orders/13")[0] == 200
    assert re.search(r"503.*\n.*200.* try 2 ", demo.wait_for(r" 7 spans(?:.*\n){8}")[0])

    demo.process.send_signal(signal.SIGINT)
    assert demo.end() == 0
    assert demo.text.endswith("Stopping …\nStopped.\n")
    assert "Traceback" not in demo.text
    assert not Path(f"/proc/{pid}").exists()


def test_the_pages_are_what_is_seen_first(demo: Demo) -> None:
    """One URL, before all others, on the port that the gateway really has."""
    demo.wait_for("Ctrl-C ends everything")
    first = re.findall(r"https?://\S+", demo.text)[0]
    assert demo.wait_for(r"\n\n  Open this:  (\S+)\n\n")[1] == first
    port = re.fullmatch(r"http://127.0.0.1:(\d+)/ui/", first)
    assert port is not None, first
    assert b"<title>Spangate</title>" in asked(int(port[1]), "/ui/")
    assert demo.get("/shop/orders/42")[0] == 200
    until = time.monotonic() + DEADLINE
    seen = ""  # until its last span has come a trace has another root
    while seen != "/shop/orders/42":
        assert time.monotonic() < until, seen
        found = json.loads(asked(int(port[1]), "/api/traces"))["traces"]
        seen = found[0]["path"] if found else ""


def test_one_service_loses_the_trace(demo: Demo) -> None:
    """What is one request of the client is two traces: the second begins at warehouse."""
    demo.wait_for("Ctrl-C ends everything")
    status, body = demo.get("/shop/stock/42")
    assert (status, json.loads(body)["shelf"]) == (200, "aisle 42")
    lost = demo.wait_for(r"trace ([0-9a-f]{32})  2 spans.*\nGET /warehouse/\{id\} +server +200 ")
    kept = demo.wait_for(r"trace ([0-9a-f]{32})  4 spans.*\nGET /shop/\* +server +200 ")
    assert kept[1] != lost[1]


def test_one_order_fails(demo: Demo) -> None:
    demo.wait_for("Ctrl-C ends everything")
    assert demo.get("/shop/orders/66")[0] == 502
    tree = demo.wait_for(r"trace [0-9a-f]{32}  4 spans.*\n((?:.+\n){4})")[1]
    assert re.findall(r" (?:server|client) +(\d+) ", tree) == ["502", "502", "500", "500"]


def test_under_load_the_terminal_stays_as_it_was() -> None:
    """Requests are made, more than one kind of them, and counted; no tree of them is shown."""
    demo = Demo(LOAD="50")
    try:
        demo.wait_for("50 requests a second are made.* Ctrl-C ends everything")
        admin = int(demo.wait_for(r"admin +http://127.0.0.1:(\d+)")[1])
        wanted = {"/shop/*", "/orders/{id}", "/payments/{id}", "/stock/{id}", "/warehouse/{id}"}
        until = time.monotonic() + DEADLINE
        while not wanted <= served(admin):
            assert time.monotonic() < until, served(admin)
        demo.process.send_signal(signal.SIGINT)
        assert demo.end() == 0
        assert demo.text.endswith("Ctrl-C ends everything.\n\nStopping …\nStopped.\n")
        assert not re.search("trace [0-9a-f]{32}", demo.text)
    finally:
        close(demo)


def served(admin: int) -> set[str]:
    """Templates of the routes that have answered."""
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=DEADLINE)
    connection.request("GET", "/metrics")
    page = connection.getresponse().read().decode()
    connection.close()
    return set(
        re.findall(r'^http_server_request_duration\w*_count\{.*http_route="([^"]+)"', page, re.M)
    )


@pytest.mark.parametrize("said", ["lots", "-1", "1001", "nan", "inf"])
def test_a_load_that_is_none_is_told(said: str) -> None:
    demo = Demo(LOAD=said)
    try:
        assert demo.end() == 2
    finally:
        close(demo)
    assert demo.text == f"load {said!r}: say requests a second, 0 to 1000, as in LOAD=5\n"


def test_what_it_says_to_type_is_what_works(demo: Demo) -> None:
    """Every URL after `curl` answers; order 99 is the one that is cut off in its middle."""
    demo.wait_for("Ctrl-C ends everything")
    urls = re.findall(r"curl (?:-k )?(https?)://[\w.]+:(\d+)(/\S+)", demo.text)
    assert [path for _, _, path in urls][-1] == "/metrics"
    assert [scheme for scheme, _, _ in urls].count("https") == 1
    for scheme, port, path in urls:
        connection = connected(scheme, int(port))
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        assert response.status == 200, path
    assert b'http_route="/payments/{id}"' in body
    demo.wait_for(r"server +504 timeout +payments ")


def connected(scheme: str, port: int) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # as curl -k
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=DEADLINE, context=unverified)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_speaks_http_2_by_https(demo: Demo) -> None:
    url = demo.wait_for(r"curl -k (https://\S+)")[1]
    demo.wait_for("Ctrl-C ends everything")
    command = ["curl", "-sSk", "-w", "\n%{http_version}", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=True)
    body, _, version = done.stdout.rpartition("\n")
    assert (json.loads(body)["payment"], version) == ("received", "2")


@pytest.mark.parametrize("which", ["PORT", "HTTPS_PORT", "ADMIN_PORT"])
def test_a_taken_port_is_told_with_the_remedy(which: str) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = taken.getsockname()[1]
        demo = Demo(**{which: str(port)})
        try:
            assert demo.end() == 1
        finally:
            close(demo)
    assert re.search(rf":{port}\b.*address already in use", demo.text)
    assert "PORT=8090 HTTPS_PORT=8453 ADMIN_PORT=9911" in demo.text
    assert "Traceback" not in demo.text


@pytest.mark.parametrize("terminal", [False, True])
def test_killed_it_takes_the_gateway_and_its_workers_along(terminal: bool) -> None:
    demo = Demo(terminal=terminal)
    try:
        demo.wait_for("Ctrl-C ends everything")
        started = processes.descendants(demo.process.pid)
        assert len(started) >= 3  # the gateway and two workers
        demo.process.kill()
        left = processes.wait_for_end(started)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left
    finally:
        close(demo)


def test_services_go_elsewhere_where_their_ports_are_taken() -> None:
    sockets = []
    for port in PORTS.values():
        try:
            sockets.append(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue  # taken already, which is what this is about
    demo = Demo()
    try:
        demo.wait_for("Ctrl-C ends everything")
        assert demo.get("/shop/orders/1")[0] == 200
    finally:
        close_all(sockets)
        demo.process.send_signal(signal.SIGTERM)
        assert demo.end() == 0
        close(demo)


def close_all(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def test_workers_are_replaced_when_the_compiler_is_done(tmp_path: Path) -> None:
    """As the first `make run` has it; here what is compiled stays out of use, so that the demo
    begins as plain Python."""
    compiled = tmp_path / "compiled"
    demo = Demo(SPANGATE_PURE="1", SPANGATE_COMPILED=str(compiled))
    try:
        demo.wait_for("Ctrl-C ends everything")
        admin = int(demo.wait_for(r"admin +http://127.0.0.1:(\d+)")[1])
        before = workers(admin)
        assert demo.get("/shop/orders/42")[0] == 200
        assert workers(admin) == before
        compiled.touch()
        demo.wait_for("workers run compiled modules")
        assert len(before) == len(workers(admin)) == 2
        assert not before & workers(admin)
        assert demo.get("/shop/orders/42")[0] == 200
    finally:
        close(demo)


def workers(admin: int) -> set[int]:
    """Processes of workers that accept connections."""
    found = json.loads(asked(admin, "/stats"))["workers"]
    return {one["pid"] for one in found if one["state"] == "ready"}


def asked(admin: int, path: str) -> bytes:
    """The body of an answer of the admin port, which must be 200."""
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=DEADLINE)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == 200, body
    return body
