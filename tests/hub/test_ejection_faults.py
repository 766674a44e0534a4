"""Ejection before servers that refuse, reset, hang, break off and flap."""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hub.gateway import gateway, until
from tests.hub.test_ejection import Backend, ask, endpoints, state

CONFIG = """
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[defaults]
retry = 0
first_byte_timeout = "500ms"
idle_timeout = "500ms"
[[route]]
path = "/*"
to = "u"
[upstream.u]
servers = [{servers}]
eject = {{ errors = 3, base = "60s" }}
"""

Behaviour = Callable[[socket.socket, int], None]


def reset(sock: socket.socket, number: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def hang(sock: socket.socket, number: int) -> None:
    sock.settimeout(20)
    while sock.recv(4096):
        pass


def break_off(sock: socket.socket, number: int) -> None:
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")


def babble(sock: socket.socket, number: int) -> None:
    sock.sendall(b"what?\r\n\r\n")


def flap(sock: socket.socket, number: int) -> None:
    """Ten good ones, then ten that are reset."""
    if number // 10 % 2:
        reset(sock, number)
    else:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


class Faulty:
    """Reads a request on each connection, behaves, and closes it."""

    def __init__(self, behave: Behaviour) -> None:
        self.asked = 0
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._numbers = itertools.count()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                if sock.recv(4096):
                    self._behave(sock, next(self._numbers))
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def good() -> Iterator[Backend]:
    backend = Backend()
    yield backend
    backend.close()


def config(*urls: str) -> str:
    return CONFIG.format(servers=", ".join(f'"{url}"' for url in urls))


@pytest.mark.parametrize("behave", [reset, hang, break_off, babble, flap], ids=lambda b: b.__name__)
def test_it_is_put_out_and_clients_see_it_no_more(
    tmp_path: Path, good: Backend, behave: Behaviour
) -> None:
    faulty = Faulty(behave)
    try:
        with gateway(tmp_path, config(faulty.url, good.url)) as hub:
            until(lambda: careful(hub.port) and endpoints(hub)[faulty.url]["state"] == "ejected")
            hub.stats()  # who answers has read what it was told before
            assert ask(hub, 20) == [200] * 20
            assert state(hub, good) == "up"
    finally:
        faulty.close()


def test_a_server_that_refuses_is_put_out(tmp_path: Path, good: Backend) -> None:
    gone = Faulty(reset)
    gone.close()
    with gateway(tmp_path, config(gone.url, good.url)) as hub:
        until(lambda: ask(hub, 10) and endpoints(hub)[gone.url]["state"] == "ejected")
        hub.stats()
        assert ask(hub, 20) == [200] * 20


def test_the_last_one_stays_and_it_is_said(tmp_path: Path, good: Backend) -> None:
    gone = [Faulty(reset) for _ in range(2)]
    for one in gone:
        one.close()
    with gateway(tmp_path, config(*(one.url for one in gone))) as hub:
        until(lambda: ask(hub, 10) and any("is not ejected: " in line for line in hub.lines))
        states = sorted(one["state"] for one in endpoints(hub).values())
        assert states == ["ejected", "up"]
        why = [one["why"] for one in endpoints(hub).values() if one["state"] == "up"]
        assert "not ejected, since too many are out: " in why[0]


def careful(port: int) -> bool:
    """Some requests, of which some may break off."""
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
            sock.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            try:
                while sock.recv(4096):
                    pass
            except ConnectionError:
                continue
    return True
