"""What a sidecar remembers of destinations, which is bounded, and which addresses are its own."""

from __future__ import annotations

import pytest

from proxy.server.mesh_away import MOST, Endpoints
from proxy.server.mesh_first import KEEP, PATIENCE, First
from proxy.server.mesh_first import MOST as MOST_FIRST
from proxy.server.mesh_places import Here
from proxy.upstream.endpoint import Endpoint


class Forgetful:
    """Who closes what is warm."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def forget(self, endpoint: Endpoint) -> None:
        self.forgotten.append(endpoint.url)


def test_the_destination_that_was_used_longest_ago_goes() -> None:
    house = Forgetful()
    endpoints = Endpoints(house, "passthrough", "http")
    first = endpoints.at(("10.0.0.1", 1))
    for port in range(2, MOST + 1):
        endpoints.at(("10.0.0.1", port))
    assert not house.forgotten and endpoints.at(("10.0.0.1", 1)) is first
    endpoints.at(("fd00::1", 80))
    assert house.forgotten == ["http://10.0.0.1:2"] and len(endpoints) == MOST
    assert endpoints.at(("fd00::1", 80)).url == "http://[fd00::1]:80"


def test_clients_that_the_application_sees_have_connections_of_their_own() -> None:
    endpoints = Endpoints(Forgetful(), "app", "http")
    place = ("127.0.0.1", 8000)
    one, other, nobody = (endpoints.at(place, s) for s in ("10.0.0.1", "10.0.0.2", ""))
    assert len({one.key, other.key, nobody.key}) == 3
    assert (one.source, nobody.source) == ("10.0.0.1", "")


@pytest.mark.parametrize("host", ["", "a b", "a/b", "-", "a" * 300, "1.2.3.4.5", "\n"])
def test_what_is_no_place(host: str) -> None:
    with pytest.raises(ValueError):
        Endpoints(Forgetful(), "passthrough", "http").at((host, 80))


def test_who_speaks_first_is_known_for_a_while() -> None:
    first, place = First(), ("10.0.0.1", 3306)
    assert first.is_server(place, 0) is None
    first.note(place, True, 5)
    assert first.is_server(place, 5 + KEEP) is True
    assert first.is_server(place, 6 + KEEP) is None
    first.note(place, False, 7)
    assert first.is_server(place, 8) is True  # a client that does not wait for it changes nothing
    assert first.silence(place, 0, 8) == PATIENCE
    first.note(place, False, 6 + KEEP)
    assert first.is_server(place, 7 + KEEP) is False
    assert first.silence(place, 0, 7 + KEEP) == PATIENCE
    assert first.silence(place, int(PATIENCE * 1e9), 7 + KEEP) == 0
    first.note(place, True, 8 + KEEP)
    assert first.is_server(place, 9 + KEEP) is True
    assert first.silence(("10.0.0.3", 1), 0, 8) == 0
    for port in range(MOST_FIRST):
        first.note(("10.0.0.2", port), True, 9)
    assert first.is_server(place, 9 + KEEP) is None


OWN = {
    "127.0.0.1": True,
    "127.9.9.9": True,
    "0.0.0.0": True,
    "192.0.2.1": False,  # RFC 5737
    "2001:db8::1": False,
    "localhost": False,
    "": False,
    "1.2.3": False,
    "fe80::1%nowhere": False,
}


@pytest.mark.parametrize("address", OWN)
def test_which_addresses_are_here(address: str) -> None:
    assert Here().has(address, 0) is OWN[address]
