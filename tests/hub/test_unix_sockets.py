"""Listening on Unix sockets: modes, what the dead have left, and what is somebody's."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.config.model import Listener
from proxy.hub.sockets import ListenError, Sockets, listen_once


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    found = Sockets(2)
    yield found
    found.close(found.addresses)


def at(path: Path, mode: str = "0660") -> list[Listener]:
    return [Listener(address=f"unix:{path}", mode=mode)]


def test_all_slots_share_one_queue(sockets: Sockets, tmp_path: Path) -> None:
    path = tmp_path / "gw.sock"
    assert sockets.open(at(path)) == [f"unix:{path}"]
    assert sockets.name(f"unix:{path}") == f"unix:{path}" and sockets.port(f"unix:{path}") == 0
    assert sockets.is_shared(f"unix:{path}")
    (_, one), (_, other) = (sockets.of_slot(n, [f"unix:{path}"])[0] for n in range(2))
    assert one.fileno() != other.fileno()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        other.accept()[0].close()
        with pytest.raises(BlockingIOError):
            one.accept()


@pytest.mark.parametrize(("mode", "bits"), [("0660", 0o660), ("666", 0o666), ("0600", 0o600)])
def test_the_mode_whatever_the_umask(
    sockets: Sockets, tmp_path: Path, mode: str, bits: int
) -> None:
    before = os.umask(0o077)
    try:
        sockets.open(at(tmp_path / "s", mode))
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == bits
    assert sockets.open(at(tmp_path / "s", "0640")) == []  # a reload
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o640


def test_the_file_goes_with_the_listener(sockets: Sockets, tmp_path: Path) -> None:
    path = tmp_path / "s"
    sockets.open(at(path))
    sockets.close([f"unix:{path}"])
    assert not path.exists()


def test_a_file_that_another_one_has_made_stays(sockets: Sockets, tmp_path: Path) -> None:
    path = tmp_path / "s"
    sockets.open(at(path))
    path.unlink()
    successor = Sockets(1)
    successor.open(at(path))
    sockets.close([f"unix:{path}"])
    assert path.exists()
    successor.close(successor.addresses)


def test_what_a_killed_process_has_left_is_taken_over(sockets: Sockets, tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    sockets.open(at(path))
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def _alive(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


def _file(path: Path) -> None:
    path.write_text("mine")


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (_alive, "another process listens there"),
        (_file, "something that is no socket stands there"),
        (_folder, "something that is no socket stands there"),
    ],
)
def test_what_is_somebody_s_is_left_alone(
    sockets: Sockets, tmp_path: Path, make: object, says: str
) -> None:
    path = tmp_path / "s"
    kept = make(path)  # type: ignore[operator]
    with pytest.raises(ListenError, match=says):
        sockets.open(at(path))
    assert path.exists() and sockets.addresses == []
    if kept is not None:
        kept.close()


def test_a_folder_that_is_not_there(sockets: Sockets, tmp_path: Path) -> None:
    with pytest.raises(ListenError, match="make its folder"):
        sockets.open(at(tmp_path / "no" / "s"))


def test_all_or_nothing(sockets: Sockets, tmp_path: Path) -> None:
    good, bad = tmp_path / "s", tmp_path / "no" / "s"
    with pytest.raises(ListenError):
        sockets.open(at(good) + at(bad))
    assert not good.exists()


def test_the_admin_port(tmp_path: Path) -> None:
    sock = listen_once(f"unix:{tmp_path}/admin", "admin.listen")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{tmp_path}/admin")
    sock.close()
    listen_once(f"unix:{tmp_path}/admin", "admin.listen").close()  # the file was left behind
