"""Which Host headers the admin port answers."""

from __future__ import annotations

import socket

import pytest

from proxy.admin.hosts import Hosts

LOOPBACK = [
    ("", True),
    ("localhost", True),
    ("localhost:9901", True),
    ("LOCALHOST.:9901", True),
    ("gate.localhost:9901", True),
    ("127.0.0.1:9901", True),
    ("127.8.8.8", True),
    ("[::1]:9901", True),
    ("evil.example", False),
    ("evil.example:9901", False),
    ("127.0.0.1.evil.example", False),
    ("localhost.evil.example", False),
    ("notlocalhost", False),
    ("10.0.0.1:9901", False),
    ("[::1", True),
]

OPEN = [
    ("10.1.2.3:9901", True),
    ("[2001:db8::1]:9901", True),
    ("localhost", True),
    ("gateway:9901", True),
    ("gate.shop.svc:9901", True),
    ("gate.shop.svc.cluster.local:9901", True),
    ("box.local", True),
    ("box.corp.internal", True),
    ("evil.example:9901", False),
    ("10.0.0.1.evil.example", False),
    ("local.evil.example", False),
]


@pytest.mark.parametrize(("header", "allowed"), LOOPBACK)
@pytest.mark.parametrize("listen", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback(listen: str, header: str, allowed: bool) -> None:
    assert Hosts(listen).allows(header) is allowed


@pytest.mark.parametrize(("header", "allowed"), OPEN)
@pytest.mark.parametrize("listen", ["", "0.0.0.0", "::"])
def test_open_to_the_network(listen: str, header: str, allowed: bool) -> None:
    assert Hosts(listen).allows(header) is allowed


def test_the_name_that_is_listened_on_is_right() -> None:
    assert Hosts("gate.example").allows("Gate.Example:9901")
    assert Hosts("0.0.0.0").allows(socket.gethostname())
