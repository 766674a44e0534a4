"""Sockets that were opened for us (sd_listen_fds), and what the service manager is told."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.config.model import Listener
from proxy.hub.activation import Given, is_at, receive
from proxy.hub.notify import Notifier
from proxy.hub.sockets import Sockets
from tests.hub.gateway import DEADLINE, Gateway, children, said, until

# What systemd does: the sockets at 3 and on, and the number of this very process.
_START = """
import os, sys
given, *command = sys.argv[1:]
for place, fd in enumerate(map(int, given.split(","))):
    os.dup2(fd, 3 + place)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, *command])
"""
FILE = """
drain_timeout = "3s"
admin.listen = ""
[[listen]]
address = "127.0.0.1:{port}"
[[listen]]
address = "unix:{folder}/gw.sock"
[[route]]
respond = "pong"
"""


def test_the_variables_of_another_process_mean_nothing() -> None:
    environ = {"LISTEN_FDS": "1", "LISTEN_PID": "1", "LISTEN_FDNAMES": "a"}
    assert receive(environ, 2).left() == [] and environ == {}
    for count in ("", "x", "-1", "²"):
        assert receive({"LISTEN_FDS": count, "LISTEN_PID": "2"}, 2).left() == []


@pytest.mark.parametrize(
    ("bound", "address", "fits"),
    [
        (("127.0.0.1", 0), "127.0.0.1:{port}", True),
        (("127.0.0.1", 0), "127.0.0.1:1", False),
        (("127.0.0.1", 0), ":{port}", False),
        (("0.0.0.0", 0), ":{port}", True),
        (("0.0.0.0", 0), "[::1]:{port}", False),
        (("127.0.0.1", 0), "unix:/run/a", False),
    ],
)
def test_whose_socket_it_is(bound: tuple[str, int], address: str, fits: bool) -> None:
    with socket.create_server(bound) as sock:
        assert is_at(sock, address.format(port=sock.getsockname()[1])) is fits


def test_by_name_where_the_address_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock, socket.create_server(("127.0.0.1", 0)):
        given = Given([("edge", sock)])
        assert given.left() == [f"127.0.0.1:{sock.getsockname()[1]} (edge)"]
        assert given.of(Listener(address=":80")) == []
        assert given.of(Listener(address=":80", name="edge")) == [sock]
        assert given.left() == []


def test_slots_share_what_was_given_and_a_reload_gets_it_again(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        sockets = Sockets(2, Given([("", sock)]))
        for _ in range(2):
            assert sockets.open([Listener(address=f"unix:{path}")]) == [f"unix:{path}"]
            assert sockets.unclaimed() == [] and sockets.is_shared(f"unix:{path}")
            sockets.close(sockets.addresses)
            assert path.exists()  # it is whoever's has given it


class Manager:
    """A service manager, as far as it listens."""

    def __init__(self, address: str) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(address)
        self._sock.settimeout(DEADLINE)

    def hear(self, *but: str) -> dict[str, str]:
        """The next message, without those that have nothing but `but`."""
        while True:
            lines = self._sock.recv(4096).decode().splitlines()
            found = dict(line.split("=", 1) for line in lines)
            if set(found) - set(but):
                return found

    def close(self) -> None:
        self._sock.close()


@contextmanager
def activated(
    folder: Path, environ: dict[str, str], given: list[socket.socket]
) -> Iterator[object]:
    file = folder / "routes.toml"
    port = given[0].getsockname()[1]
    file.write_text(FILE.format(port=port, folder=folder))
    fds = ",".join(str(sock.fileno()) for sock in given)
    process = subprocess.Popen(
        [sys.executable, "-c", _START, fds, "-m", "proxy", "run", str(file), "--workers", "2"],
        env={**os.environ, **environ, "LISTEN_FDS": str(len(given))},
        pass_fds=[sock.fileno() for sock in given],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@pytest.mark.parametrize("abstract", [False, True])
def test_a_whole_life_under_a_service_manager(tmp_path: Path, abstract: bool) -> None:
    name = f"spangate-test-{os.getpid()}"
    manager = Manager(f"\0{name}" if abstract else str(tmp_path / "notify"))
    environ = {
        "NOTIFY_SOCKET": f"@{name}" if abstract else str(tmp_path / "notify"),
        "WATCHDOG_USEC": "100000",
    }
    one, other = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    with one, other, activated(tmp_path, environ, [one, other]) as process:
        assert isinstance(process, subprocess.Popen)
        told = manager.hear()
        assert told["READY"] == "1" and "2 workers" in told["STATUS"]
        for _ in range(4):
            assert _ask(one.getsockname()) == b"pong"
        assert _ask(str(tmp_path / "gw.sock")) == b"pong"
        assert manager.hear("READY", "STATUS") == {"WATCHDOG": "1"}
        process.send_signal(signal.SIGHUP)
        told = manager.hear("WATCHDOG")
        assert told["RELOADING"] == "1" and int(told["MONOTONIC_USEC"]) > 0
        assert "configuration 2" in manager.hear("WATCHDOG")["STATUS"]
        process.send_signal(signal.SIGTERM)
        assert manager.hear("WATCHDOG")["STOPPING"] == "1"
        assert process.wait(DEADLINE) == 0
        assert not (tmp_path / "gw.sock").exists()
        assert process.stderr is not None
        lines = [said(line) for line in process.stderr]
        place = f"127.0.0.1:{other.getsockname()[1]}"
        assert f"{place} was given to listen on, and no listener is for it" in "".join(lines)
    manager.close()


def test_a_collector_s_life_under_a_service_manager(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "notify"))
    file = tmp_path / "routes.toml"
    file.write_text(
        '[admin]\nlisten = ""\n[collector.receivers.otlp]\nhttp = "127.0.0.1:0"\n'
        "[collector.exporters.debug]\n"
        '[collector.pipelines.traces]\nreceivers = ["otlp"]\nexporters = ["debug"]\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "proxy", "collect", str(file)],
        env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"},
    )
    try:
        told = manager.hear()
        assert told["READY"] == "1" and "configuration 1" in told["STATUS"]
        assert manager.hear("READY", "STATUS") == {"WATCHDOG": "1"}
        process.send_signal(signal.SIGHUP)
        assert manager.hear("WATCHDOG")["RELOADING"] == "1"
        assert "configuration 2" in manager.hear("WATCHDOG")["STATUS"]
        file.write_text("[collector.nonsense]\n")
        process.send_signal(signal.SIGHUP)
        assert manager.hear("WATCHDOG")["RELOADING"] == "1"
        assert "configuration 2" in manager.hear("WATCHDOG")["STATUS"]  # that one stays
        process.send_signal(signal.SIGTERM)
        assert manager.hear("WATCHDOG")["STOPPING"] == "1"
        assert process.wait(DEADLINE) == 0
    finally:
        process.kill()
        process.wait()
    manager.close()


def _ask(place: object, path: str = "/", host: str = "a") -> bytes:
    with socket.socket(socket.AF_UNIX if isinstance(place, str) else socket.AF_INET) as client:
        client.settimeout(DEADLINE)
        client.connect(place)  # type: ignore[arg-type]
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while piece := client.recv(4096):
            data += piece
        return data.partition(b"\r\n\r\n")[2]


async def test_nobody_who_listens_is_no_reason_to_stop(tmp_path: Path) -> None:
    for address in ("", str(tmp_path / "gone"), "vsock:2:1", "@spangate-nobody"):
        environ = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "x", "WATCHDOG_PID": "1"}
        notifier = Notifier(environ, 2)
        assert environ == {}
        notifier.ready("")
        notifier.watch()
        notifier.stop()
    await asyncio.sleep(0)


def test_the_admin_port_may_be_a_unix_socket(tmp_path: Path) -> None:
    text = f"""
listen = "127.0.0.1:0"
admin.listen = "unix:{tmp_path}/admin.sock"
[[route]]
respond = "pong"
"""
    (tmp_path / "routes.toml").write_text(text)
    hub = Gateway(tmp_path / "routes.toml", 1, (), subprocess.DEVNULL)
    try:
        hub.wait_for_line(f"admin on unix:{tmp_path}/admin.sock, 1 worker")
        assert b"ready" in _ask(str(tmp_path / "admin.sock"), "/ready", "localhost")
        assert b"spangate_build_info" in _ask(str(tmp_path / "admin.sock"), "/metrics", "localhost")
    finally:
        hub.close()


def test_a_worker_that_dies_leaves_nobody_waiting(tmp_path: Path) -> None:
    text = f"""
drain_timeout = "3s"
admin.listen = ""
[[listen]]
address = "unix:{tmp_path}/gw.sock"
[[route]]
respond = "pong"
"""
    (tmp_path / "routes.toml").write_text(text)
    hub = Gateway(tmp_path / "routes.toml", 2, (), subprocess.DEVNULL)
    try:
        hub.wait_for_line(f"ready: http on unix:{tmp_path}/gw.sock, 2 workers")
        for pid in children(hub.process.pid, "proxy.server"):
            os.kill(pid, signal.SIGKILL)
        assert _ask(str(tmp_path / "gw.sock")) == b"pong"
        both = f'[[listen]]\naddress = "unix:{tmp_path}/other.sock"\n'
        hub.rewrite(text.replace("[[route]]", both + "[[route]]"))
        hub.wait_for_line("reloaded: 1 route")
        until(lambda: len(children(hub.process.pid, "proxy.server")) == 2)  # the new ones alone
        for name in ("gw", "other"):  # what others have closed is still there
            assert _ask(str(tmp_path / f"{name}.sock")) == b"pong"
        hub.rewrite(text.replace("gw.sock", "other.sock"))
        until(lambda: (tmp_path / "other.sock").exists() and not (tmp_path / "gw.sock").exists())
        assert _ask(str(tmp_path / "other.sock")) == b"pong"
        assert hub.end() == 0
        assert not (tmp_path / "other.sock").exists()
    finally:
        hub.close()
