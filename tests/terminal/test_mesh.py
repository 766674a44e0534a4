"""`spangate mesh status`: who a sidecar is, whom it trusts, and its peers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .kit import ACTING, HOSTILE, admin, ask

STATUS: dict[str, Any] = {
    "mesh": True,
    "mtls": "strict",
    "source": "local:///ca",
    "identity": {
        "id": "spiffe://mesh/orders",
        "trust_domain": "mesh",
        "since": "2026-11-29T12:00:00Z",
        "until": "2026-11-29T13:00:00Z",
        "remaining_seconds": 1800.0,
        "expired": False,
        "sha256": "AB:CD",
    },
    "error": "",
    "trust": {"mesh": [{"subject": "CN=mesh", "until": "2027-11-29T12:00:00Z", "sha256": "EF:01"}]},
    "allow": [],
    "peers": [{"identity": "spiffe://mesh/shop", "inbound": 7, "outbound": 3}],
    "handshakes_failed": {"inbound": {"certificate_expired": 2}, "outbound": {}},
    "denied": {"identity": 4},
}


def lines(status: object, *words: str) -> list[str]:
    with admin() as told:
        told.answers["/mesh"] = (200, status)
        result = ask(told, "mesh", "status", *words)
    assert result.exit_code == 0, result.stderr
    return [" ".join(line.split()) for line in result.output.splitlines() if line.strip()]


def test_who_it_is_whom_it_trusts_and_its_peers() -> None:
    assert lines(STATUS) == [
        "spiffe://mesh/orders for 30 min more mtls strict",
        "SHA-256 AB:CD",
        "from local:///ca",
        "trust domain authority until",
        "mesh EF:01 2027-11-29T12:00:00Z",
        "peer has called here was called",
        "spiffe://mesh/shop 7 3",
        "refused why times",
        "inbound handshake certificate_expired 2",
        "request identity 4",
    ]
    assert json.loads("\n".join(lines(STATUS, "--json"))) == STATUS


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"identity": None, "trust": {}}, "no identity mtls strict"),
        ({"identity": {**STATUS["identity"], "expired": True}}, "spiffe://mesh/orders expired"),
        ({"error": "there is no Workload API at /x"}, "no new one: there is no Workload API at /x"),
    ],
)
def test_what_is_wrong_is_shown(change: dict[str, Any], expected: str) -> None:
    assert expected in "\n".join(lines({**STATUS, **change}))


def test_what_peers_are_called_does_not_act_on_the_terminal() -> None:
    peers = [{"identity": HOSTILE, "inbound": HOSTILE, "outbound": []}]
    shown = lines({**STATUS, "peers": peers, "error": HOSTILE, "denied": {HOSTILE: 1}})
    assert not ACTING.search("".join(shown))


def test_a_gateway_in_no_mesh() -> None:
    with admin() as told:
        told.answers["/mesh"] = (200, {"mesh": False})
        result = ask(told, "mesh", "status")
    assert result.exit_code == 1
    assert "is in no mesh" in result.stderr
