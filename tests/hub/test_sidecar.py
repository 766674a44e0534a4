"""`spangate sidecar`, with a file and without, as a process of its own."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.ports import free_port

DEADLINE = 60.0
FILE = """
drain_timeout = "1s"
[mesh]
inbound = "127.0.0.1:{inbound}"
outbound = ":{outbound}"
[admin]
listen = "127.0.0.1:0"
[access_log]
stdout = false
[export]
console = true
"""


class Told(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = str(self.headers["traceparent"]).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def application() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Told)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def running(*words: str, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """Once it is ready."""
    command = [sys.executable, "-m", "proxy", "sidecar", *words]
    process = subprocess.Popen(
        command,
        env={**os.environ, **environ},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    killer = threading.Timer(DEADLINE, process.kill)
    killer.start()
    try:
        for line in process.stderr:
            if " ready: " in line:
                break
        assert process.poll() is None, "it did not start"
        yield process
    finally:
        killer.cancel()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE)


def ask(port: int, host: str, address: str = "127.0.0.1") -> bytes:
    connection = http.client.HTTPConnection(address, port, timeout=DEADLINE)
    connection.request("GET", "/x", headers={"Host": host})
    body = connection.getresponse().read()
    connection.close()
    return body


def test_both_sides_of_an_application(tmp_path: Path) -> None:
    inbound, outbound = free_port(), free_port()
    file = tmp_path / "routes.toml"
    file.write_text(FILE.format(inbound=inbound, outbound=outbound))
    with application() as app, running(str(file), "--app", str(app), "--name", "orders"):
        assert ask(inbound, "orders").startswith(b"00-")
        assert ask(outbound, f"127.0.0.1:{app}").startswith(b"00-")
        if socket.has_ipv6:
            with (
                contextlib.suppress(OSError),
                socket.create_server(("::1", 0), family=socket.AF_INET6),
            ):
                assert ask(outbound, f"127.0.0.1:{app}", "::1").startswith(b"00-")


def test_each_of_its_listeners_may_have_any_free_port(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    port = '"127.0.0.1:0"'
    file.write_text(
        f"[[listen]]\naddress = {port}\n[admin]\nlisten = {port}\n"
        f'[mesh]\napp = "127.0.0.1:9"\ninbound = {port}\noutbound = {port}\n'
    )
    with running(str(file)) as process:  # which waits until it is ready
        assert process.poll() is None


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ('[[route]]\nto = "http://127.0.0.1:1"\n', 2, "has no [mesh]"),
        ("[mesh]\n", 1, "nothing says where the application listens"),
    ],
)
def test_what_is_no_sidecar_does_not_start(tmp_path: Path, text: str, code: int, says: str) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(text)
    command = [sys.executable, "-m", "proxy", "sidecar", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == code and says in done.stderr


def test_a_check_of_a_sidecar_s_file(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text('[mesh]\napp = "127.0.0.1:8000"\n')
    command = [sys.executable, "-m", "proxy", "check", "--strict", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0 and json.loads(done.stdout)["ok"] is True
