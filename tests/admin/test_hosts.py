"""Which Host fields the admin port answers, and how it refuses the others."""

from __future__ import annotations

import socket

import pytest

from proxy.admin.hosts import Hosts

LOOPBACK = [
    ("localhost", 0),
    ("localhost:9901", 0),
    ("localhost:", 0),
    ("LOCALHOST.:9901", 0),
    ("gate.localhost:9901", 0),
    ("127.0.0.1:9901", 0),
    ("127.8.8.8", 0),
    ("[::1]:9901", 0),
    ("evil.example", 403),
    ("evil.example:9901", 403),
    ("127.0.0.1.evil.example", 403),
    ("127.1", 403),
    ("localhost.evil.example", 403),
    ("notlocalhost", 403),
    ("10.0.0.1:9901", 403),
    ("gw1.corp:9901", 403),
]

OPEN = [
    ("10.1.2.3:9901", 0),
    ("[2001:db8::1]:9901", 0),
    ("localhost", 0),
    ("gateway:9901", 0),
    ("gate.shop.svc:9901", 0),
    ("gate.shop.svc.cluster.local:9901", 0),
    ("box.local", 0),
    ("box.corp.internal", 0),
    ("evil.example:9901", 403),
    ("10.0.0.1.evil.example", 403),
    ("local.evil.example", 403),
    ("gw1.corp:9901", 403),
]

MALFORMED = [
    "",
    "[::1",
    "[::1].evil",
    "[::1].evil.example:9901",
    "[::1]evil",
    "[evil]",
    "::1",
    "a b",
    "localhost:port",
    "localhost:1:2",
    "user@localhost",
    "localhost/evil",
    "localhost, evil.example",
    "loc\u00e4lhost",
    "localhost\udcff",
]


@pytest.mark.parametrize(("field", "status"), LOOPBACK)
@pytest.mark.parametrize("listen", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback(listen: str, field: str, status: int) -> None:
    assert Hosts(listen).refusal([field]) == status


@pytest.mark.parametrize(("field", "status"), OPEN)
@pytest.mark.parametrize("listen", ["", "0.0.0.0", "::"])
def test_open_to_the_network(listen: str, field: str, status: int) -> None:
    assert Hosts(listen).refusal([field]) == status


@pytest.mark.parametrize("field", MALFORMED)
@pytest.mark.parametrize("listen", ["127.0.0.1", ""])
def test_what_is_no_authority_is_a_bad_request(listen: str, field: str) -> None:
    assert Hosts(listen).refusal([field]) == 400


def test_a_second_host_is_a_bad_request_and_none_at_all_is_no_browser_s() -> None:
    assert Hosts("").refusal(["localhost", "localhost"]) == 400
    assert Hosts("").refusal([]) == 0


@pytest.mark.parametrize("listen", ["127.0.0.1", ""])
def test_hosts_of_the_file_are_right_everywhere(listen: str) -> None:
    hosts = Hosts(listen)
    hosts.configure(["GW1.corp", "*.ops.example."])

    for field in ("gw1.corp:9901", "a.b.ops.example", "GW1.CORP."):
        assert hosts.refusal([field]) == 0
    for field in ("gw2.corp", "ops.example", "evilops.example"):
        assert hosts.refusal([field]) == 403

    hosts.configure([])
    assert hosts.refusal(["gw1.corp"]) == 403


def test_the_name_that_is_listened_on_is_right() -> None:
    assert Hosts("gate.example").refusal(["Gate.Example:9901"]) == 0
    assert Hosts("0.0.0.0").refusal([socket.gethostname()]) == 0
