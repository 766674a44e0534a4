"""Discovery as clients see it: a gateway whose servers come and go under requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dns_server import SERVFAIL, DnsServer
from tests.hub.gateway import Gateway, fetch, gateway, until
from tests.hub.test_health import Backend, Statuses
from tests.hub.test_health_tls import Secured
from tests.hub.test_reload import reloads
from tests.ports import free_port
from tests.server import tls_kit

CONFIG = """
listen = "127.0.0.1:0"
drain_timeout = "3s"
[admin]
listen = "127.0.0.1:0"
[[route]]
path = "/*"
to = "u"
[upstream.u]
{more}
"""


@pytest.fixture
def backends() -> Iterator[list[Backend]]:
    running = [Backend(), Backend()]
    yield running
    for one in running:
        one.close()


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    server = DnsServer()
    yield server
    server.close()


def upstream(hub: Gateway) -> Any:
    return hub.stats()["upstreams"]["u"]


def found(hub: Gateway) -> set[str]:
    return set(upstream(hub)["discover"]["servers"])


def put(folder: Path, *urls: str) -> None:
    new = folder / "servers.new"
    new.write_text(json.dumps(urls))
    new.replace(folder / "servers.json")


def test_servers_of_a_file_come_and_go_under_requests(
    tmp_path: Path, backends: list[Backend]
) -> None:
    one, two = (backend.url for backend in backends)
    put(tmp_path, one)
    file = CONFIG.format(more='discover = "file:servers.json"')
    with gateway(tmp_path, file, workers=2) as hub:
        until(lambda: found(hub) == {one})
        with Statuses(hub.port) as statuses:
            for urls in ([one, two], [two], [one], [one, two]):
                put(tmp_path, *urls)
                until(lambda urls=urls: found(hub) == set(urls))
                statuses.some_more()
            (tmp_path / "servers.json").write_text(f'["{one}"')
            hub.wait_for_line(r"upstream u: discover file:servers.json: .* half written: .* stay")
            statuses.some_more()
            hub.rewrite(file.replace("[upstream.u]", "[upstream.u]\ntimeout = '9s'"))
            until(lambda: reloads(hub)["succeeded"] == 1)
            statuses.some_more()
            assert found(hub) == {one, two}
        assert set(statuses.seen) == {200}


def test_nothing_found_is_503_until_something_is(tmp_path: Path, backends: list[Backend]) -> None:
    file = CONFIG.format(more='discover = "file:servers.json"')
    with gateway(tmp_path, file, workers=1) as hub:
        status, headers, _ = fetch(hub.port, "/")
        assert status == 503
        assert "no_endpoint" in headers.get("Proxy-Status", "no_endpoint")
        hub.wait_for_line(r"servers.json cannot be read: No such file .* nothing was discovered")
        put(tmp_path, backends[0].url)
        until(lambda: fetch(hub.port, "/")[0] == 200)


def test_dns_and_probes_of_what_it_finds(
    tmp_path: Path, dns: DnsServer, backends: list[Backend]
) -> None:
    """Services with ports, because all of them are on one address here."""
    good, bad = (int(backend.url.rpartition(":")[2]) for backend in backends)
    dns.put("u.test", "A", "127.0.0.1")
    dns.put("_http._tcp.u.test", "SRV", f"1 1 {good} u.test")
    more = 'discover = "srv://_http._tcp.u.test"\n'
    more += 'health = { path = "/hz", every = "20ms", timeout = "20s", rise = 1, fall = 3 }\n'
    more += f'[dns]\nservers = ["{dns.address}"]'
    with gateway(tmp_path, CONFIG.format(more=more), workers=2) as hub:
        until(lambda: found(hub))
        with Statuses(hub.port) as statuses:
            statuses.some_more()
            dns.put("_http._tcp.u.test", "SRV", f"1 1 {good} u.test", f"1 1 {bad} u.test")
            until(lambda: found(hub) == {f"http://127.0.0.1:{port}" for port in (good, bad)})
            statuses.some_more()
            backends[1].status = 500
            hub.wait_for_line(rf"upstream u: http://127.0.0.1:{bad} is down: answered 500")
            dns.records["_http._tcp.u.test", "SRV"] = SERVFAIL
            hub.wait_for_line(r"SERVFAIL from 127.0.0.1:\d+; the 2 discovered \d+ s ago stay")
            statuses.some_more()
            dns.put("_http._tcp.u.test", "SRV", f"1 1 {good} u.test")
            hub.wait_for_line(rf"1 discovered; went http://127.0.0.1:{bad}; found again")
            assert [s["url"] for s in upstream(hub)["servers"]] == [f"http://127.0.0.1:{good}"]
            statuses.some_more()
        assert set(statuses.seen) == {200}
        labels = (("source", "srv"), ("spangate_upstream", "u"))
        assert hub.values()["spangate_upstream_discovered", labels] == 1


def test_a_name_that_is_looked_up_and_a_server_beside_it(
    tmp_path: Path, dns: DnsServer, backends: list[Backend]
) -> None:
    port = int(backends[0].url.rpartition(":")[2])
    more = f'servers = ["{backends[1].url}"]\ndiscover = "dns://u.test:{port}"\n'
    more += f'[dns]\nservers = ["{dns.address}"]'
    with gateway(tmp_path, CONFIG.format(more=more), workers=1) as hub:
        assert fetch(hub.port, "/")[0] == 200
        hub.wait_for_line(r"there is no such name \(NXDOMAIN\); it is believed if")
        dns.put("u.test", "A", "127.0.0.1")
        hub.wait_for_line(rf"1 discovered; came http://127.0.0.1:{port}")
        assert {s["url"] for s in upstream(hub)["servers"]} == {b.url for b in backends}
        hub.rewrite(CONFIG.format(more=f'servers = ["{backends[1].url}"]'))
        until(lambda: reloads(hub)["succeeded"] == 1)
        until(lambda: "discover" not in upstream(hub))
        assert fetch(hub.port, "/")[0] == 200


def test_a_dns_server_that_is_not_there_keeps_nobody_waiting(
    tmp_path: Path, backends: list[Backend]
) -> None:
    more = f'servers = ["{backends[0].url}"]\ndiscover = "dns://u.test:1"\n'
    more += f'[dns]\nservers = ["127.0.0.1:{free_port()}"]'
    with gateway(tmp_path, CONFIG.format(more=more), workers=1) as hub:
        assert fetch(hub.port, "/")[0] == 200
        hub.wait_for_line(r"upstream u: discover dns://u.test:1: .*nothing was discovered yet")
        assert hub.end() == 0


@pytest.mark.parametrize("name, status", [("u.test", 200), ("127.0.0.1", 502)])
def test_certificates_are_verified_by_the_name_that_was_asked_for(
    tmp_path: Path, dns: DnsServer, name: str, status: int
) -> None:
    """The URL has an address, which says nothing of who is there."""
    secured = Secured(name)
    port = int(secured.url.rpartition(":")[2])
    dns.put("u.test", "A", "127.0.0.1")
    more = f'discover = "dns+https://u.test:{port}"\nretry = 0\n'
    more += f'tls.ca = "{tls_kit.authority("one") / "ca.pem"}"\n'
    more += 'health = { path = "/hz", every = "20ms", fall = 1000 }\n'
    more += f'[dns]\nservers = ["{dns.address}"]'
    try:
        with gateway(tmp_path, CONFIG.format(more=more), workers=1) as hub:
            until(lambda: found(hub) == {secured.url})
            assert fetch(hub.port, "/")[0] == status
            probe = until(lambda: upstream(hub)["servers"][0]["last_probe"])
            assert probe["ok"] == (status == 200)
    finally:
        secured.close()
