"""Listening sockets: addresses, shared ports, slots, and refusals that say what to do."""

from __future__ import annotations

import resource
import select
import socket
from collections.abc import Iterator

import pytest

from proxy.config.model import Listener
from proxy.hub.sockets import (
    ListenError,
    Sockets,
    listen_once,
    places,
    raise_descriptor_limit,
    split_address,
)


def at(addresses: list[str]) -> list[Listener]:
    return [Listener(address=address) for address in addresses]


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
    assert sockets.open(at([address])) == [address]
    ports = {sockets.of_slot(n, [address])[0][1].getsockname()[1] for n in range(3)}
    assert ports == {sockets.port(address)}
    assert sockets.name(address) == f"{address[:-1]}{sockets.port(address)}"
    host = "::1" if "[" in address else "127.0.0.1"
    with socket.create_connection((host, sockets.port(address)), 5):
        pass


def test_two_that_ask_for_any_port_get_two(sockets: Sockets) -> None:
    addresses = ["127.0.0.1:0", "127.0.0.1:00"]  # as the configuration tells them apart
    assert sockets.open(at(addresses)) == addresses
    assert sockets.port(addresses[0]) != sockets.port(addresses[1])
    assert [sockets.name(a) for a in addresses] == [
        f"127.0.0.1:{sockets.port(a)}" for a in addresses
    ]


def test_opening_again_changes_nothing(sockets: Sockets) -> None:
    sockets.open(at(["127.0.0.1:0"]))
    before = sockets.of_slot(0, ["127.0.0.1:0"])
    assert sockets.open(at(["127.0.0.1:0"])) == []
    assert sockets.of_slot(0, ["127.0.0.1:0"]) == before


def test_a_second_gateway_is_refused_though_both_use_reuseport(sockets: Sockets) -> None:
    sockets.open(at(["127.0.0.1:0"]))
    address = f"127.0.0.1:{sockets.port('127.0.0.1:0')}"
    with pytest.raises(ListenError, match="address already in use"):
        Sockets(1).open(at([address]))


def test_nothing_stays_open_when_one_of_several_cannot_be_bound(sockets: Sockets) -> None:
    with pytest.raises(ListenError, match=r"192\.0\.2\.1:80: cannot assign.*`listen`"):
        sockets.open(at(["127.0.0.1:0", "192.0.2.1:80"]))
    assert sockets.addresses == []


def test_a_name_that_does_not_resolve_is_a_listen_error() -> None:
    with pytest.raises(ListenError, match=r"no\.such\.name\.invalid:80"):
        listen_once("no.such.name.invalid:80", "admin.listen")


def test_a_closed_listener_refuses_and_can_be_opened_again(sockets: Sockets) -> None:
    sockets.open(at(["127.0.0.1:0", "[::1]:0"]))
    port = sockets.port("127.0.0.1:0")
    sockets.close(["127.0.0.1:0"])
    assert (sockets.port("127.0.0.1:0"), sockets.addresses) == (0, ["[::1]:0"])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)
    sockets.open(at([f"127.0.0.1:{port}"]))
    socket.create_connection(("127.0.0.1", port), 5).close()


@pytest.mark.parametrize("address", [":0", "[::]:0", "[0:0::0]:0"])
def test_an_address_without_a_host_takes_both_families(sockets: Sockets, address: str) -> None:
    sockets.open(at([address]))
    listening = [sock for slot in range(3) for _, sock in sockets.of_slot(slot, [address])]
    assert {sock.getsockname()[1] for sock in listening} == {sockets.port(address)}
    for host in ("127.0.0.1", "::1"):
        with socket.create_connection((host, sockets.port(address)), 5) as client:
            assert accepted(listening) == client.getsockname()[0], "and peers are who they are"


def accepted(listening: list[socket.socket]) -> str:
    """The address of the peer that one of them gets."""
    ready, _, _ = select.select(listening, [], [], 10)
    connection, peer = ready[0].accept()
    connection.close()
    return str(peer[0])


@pytest.mark.parametrize("address", ["0.0.0.0:0", "127.0.0.1:0"])
def test_an_address_of_ipv4_leaves_ipv6_alone(sockets: Sockets, address: str) -> None:
    sockets.open(at([address]))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("::1", sockets.port(address)), 5)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_port_that_is_taken_in_one_family_is_taken(sockets: Sockets, host: str) -> None:
    with listen_once(f"{host}:0", "x") as other, pytest.raises(ListenError, match="already in use"):
        sockets.open(at([f":{other.getsockname()[1]}"]))
    assert sockets.addresses == []


@pytest.mark.parametrize("first", ["127.0.0.1", "[::1]", "0.0.0.0", ""])
def test_a_special_address_shares_a_port_with_all(sockets: Sockets, first: str) -> None:
    """As in a reload from the one to the other, and whichever is there first."""
    sockets.open(at([f"{first}:0"]))
    port = sockets.port(f"{first}:0")
    second = f"[::1]:{port}" if not first else f":{port}"
    assert sockets.open(at([second])) == [second]
    socket.create_connection(("::1", port), 5).close()


@pytest.mark.parametrize("address", [":0", "[::]:0"])
def test_the_admin_port_takes_both_families_too(address: str) -> None:
    with listen_once(address, "admin.listen") as sock:
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, sock.getsockname()[1]), 5).close()


@pytest.mark.parametrize("host", ["", "::"])
def test_a_family_that_the_machine_does_not_have_is_left_out(host: str) -> None:
    there, not_there = (socket.AF_INET, "0.0.0.0"), (socket.AF_APPLETALK, "::")
    assert places(host, [there, not_there]) == (there,)


def test_the_limit_of_open_files_is_raised_to_what_is_allowed() -> None:
    assert raise_descriptor_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
