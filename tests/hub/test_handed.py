"""What one hub hands to the next: read as it was written, and refused in words where it is not."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from proxy.config.material import NONE, Certified
from proxy.hub.handed import VERSION, Handed, Lines, Place, read, write
from proxy.hub.takeover import Takeover
from proxy.web import ports


def test_it_is_read_as_it_was_written() -> None:
    handed = Handed(
        VERSION,
        42,
        places={"unix:/x": Place([[3]], True, (1, 2)), ":80": Place([[4, 5], [6, 7]])},
        admin=8,
        tickets=[b"\0\xff", b"a"],
        made=Certified(b"cert", b"key", ["a.example"]),
        mesh=Certified(b"svid", b"key", uris=["spiffe://mesh/a"]),
        trust={"mesh": b"roots"},
        drained=[("u", "http://a:1")],
    )
    assert read(write(handed)) == handed
    assert sorted(handed.descriptors()) == [3, 4, 5, 6, 7, 8]
    material = handed.material
    assert material.self_signed == handed.made
    assert material.mesh == handed.mesh and material.trust == {"mesh": b"roots"}
    assert Handed(VERSION, 1).material == NONE


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "cannot be read"),
        (b"[]", "cannot be read"),
        (b"{}", "cannot be read"),
        (b'{"version": 1}', "cannot be read"),
        (b'{"version": 1, "pid": "x"}', "cannot be read"),
        (b'{"version": 2, "pid": 1}', "cannot follow the one that runs"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_what_is_none_is_told(said: bytes, why: str) -> None:
    memory = os.memfd_create("test")
    os.write(memory, said)
    with pytest.raises(ValueError, match=why):
        read(memory)


def test_a_later_release_may_say_more() -> None:
    memory = os.memfd_create("test")
    os.write(memory, b'{"version": 1, "pid": 7, "of_a_later_release": [1]}')
    assert read(memory).pid == 7


def test_descriptors_that_are_not_there_are_told() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(ValueError, match="descriptor 9999 was not handed over"):
        Takeover(Handed(VERSION, 1, admin=9999), ours)


def test_lines_are_whole_whatever_the_pieces() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        lines = Lines(ours)
        found = [m for byte in b'{"a": 1}\nno\n[2]\n{"b": 3}\n' for m in lines.feed(bytes([byte]))]
        assert found == [{"a": 1}, {"b": 3}]
        theirs.close()
        lines.send({"to": "nobody"})


@pytest.fixture
def following() -> Iterator[None]:
    ports.follow({os.getpid()})
    yield
    ports._followed.clear()


def test_a_port_of_somebody_else_is_not_shared() -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            ports.share("127.0.0.1", port)
    assert ports.share("127.0.0.1", port)
    assert not ports.is_followed(os.getpid())


def test_who_follows_gets_all_that_comes_and_the_last_one_what_there_is(following: None) -> None:
    first = socket.create_server(("127.0.0.1", 0), reuse_port=True)
    place = first.getsockname()
    second = socket.create_server(place, reuse_port=True)
    assert ports.share(*place)
    ports.prefer([second])
    first.setblocking(False)
    for _ in range(20):
        socket.create_connection(place).close()
        second.accept()[0].close()
    with pytest.raises(BlockingIOError):
        first.accept()
    first.close()
    for _ in range(20):
        socket.create_connection(place).close()
        second.accept()[0].close()
    second.close()
    assert ports.is_followed(os.getpid())
    assert not ports.is_followed(2**22 + 1)
