"""Listening sockets: addresses, shared ports, slots, and refusals that say what to do."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator

import pytest

from proxy.hub.sockets import (
    ListenError,
    Sockets,
    listen_once,
    raise_descriptor_limit,
    split_address,
)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    found = Sockets(3)
    yield found
    found.close(found.addresses)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        (":8080", ("", 8080)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:8080", ("::1", 8080)),
        ("localhost:1", ("localhost", 1)),
    ],
)
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert split_address(address) == parts


@pytest.mark.parametrize("address", ["127.0.0.1:0", ":0", "[::1]:0", "localhost:0"])
def test_all_slots_share_the_port_that_the_first_one_got(sockets: Sockets, address: str) -> None:
    assert sockets.open([address]) == [address]
    ports = {sockets.of_slot(n, [address])[0][1].getsockname()[1] for n in range(3)}
    assert ports == {sockets.port(address)}
    assert sockets.name(address) == f"{address[:-1]}{sockets.port(address)}"
    host = "::1" if "[" in address else "127.0.0.1"
    with socket.create_connection((host, sockets.port(address)), 5):
        pass


def test_opening_again_changes_nothing(sockets: Sockets) -> None:
    sockets.open(["127.0.0.1:0"])
    before = sockets.of_slot(0, ["127.0.0.1:0"])
    assert sockets.open(["127.0.0.1:0"]) == []
    assert sockets.of_slot(0, ["127.0.0.1:0"]) == before


def test_a_second_gateway_is_refused_though_both_use_reuseport(sockets: Sockets) -> None:
    sockets.open(["127.0.0.1:0"])
    address = f"127.0.0.1:{sockets.port('127.0.0.1:0')}"
    with pytest.raises(ListenError, match="address already in use"):
        Sockets(1).open([address])


def test_nothing_stays_open_when_one_of_several_cannot_be_bound(sockets: Sockets) -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:80: cannot assign.*`listen`"):
        sockets.open(["127.0.0.1:0", "192.0.2.1:80"])
    assert sockets.addresses == []


def test_a_name_that_does_not_resolve_is_a_listen_error() -> None:
    with pytest.raises(ListenError, match=r"no\.such\.name\.invalid:80"):
        listen_once("no.such.name.invalid:80", "admin.listen")


def test_a_closed_listener_refuses_and_can_be_opened_again(sockets: Sockets) -> None:
    sockets.open(["127.0.0.1:0", "[::1]:0"])
    port = sockets.port("127.0.0.1:0")
    sockets.close(["127.0.0.1:0"])
    assert (sockets.port("127.0.0.1:0"), sockets.addresses) == (0, ["[::1]:0"])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    sockets.open([f"127.0.0.1:{port}"])
    socket.create_connection(("127.0.0.1", port), 5).close()


def test_ipv4_and_ipv6_on_one_port(sockets: Sockets) -> None:
    sockets.open([":0"])
    port = sockets.port(":0")
    sockets.open([f"[::]:{port}"])
    for host in ("127.0.0.1", "::1"):
        socket.create_connection((host, port), 5).close()


def test_the_limit_of_open_files_is_raised_to_what_is_allowed() -> None:
    assert raise_descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
