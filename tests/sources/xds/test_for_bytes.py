"""TCP listeners of a control plane, addresses that two listeners want, and TLS to servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub.gateway import fetch
from tests.peers import xds_protos
from tests.ports import free_port

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

from proxy.sources.source import Given
from proxy.sources.xds.kinds import CDS, EDS, LDS, RDS, SDS
from proxy.sources.xds.session import LONGEST, Out, Session
from proxy.sources.xds.source import leaves_out
from tests.peers import xds_made as made
from tests.peers.xds_server import Server
from tests.sources.xds.test_listeners import FILE, gateway, said
from tests.sources.xds.test_routes_refused import answering, refusal, status
from tests.sources.xds.test_session import opened, response, told

pytestmark = pytest.mark.timeout(300)

PROXY = f"{made.EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy"
CLIENT = f"{made.EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext"
TLS = {"name": "tls", "typed_config": {"@type": CLIENT}}


def tcp(name: str, port: int, to: str) -> Any:
    return made.listening(name, port, {"@type": PROXY, "stat_prefix": "x", "cluster": to})


@pytest.fixture
async def greeter() -> AsyncIterator[int]:
    """Says a word to whoever comes; its port."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def greeting(port: int) -> bytes:
    async with asyncio.timeout(60):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            word = await reader.read()
        except OSError:  # nobody greets yet
            return b""
        writer.close()
        return word


@pytest.mark.parametrize("kind", ["EDS", "STATIC"])
async def test_bytes_go_to_the_cluster(
    server: Server, tmp_path: Path, greeter: int, kind: str
) -> None:
    port, http = free_port(), free_port()
    fixed = {"type": "STATIC", "load_assignment": {"cluster_name": "c"}}
    fixed["load_assignment"]["endpoints"] = [{"lb_endpoints": [made.endpoint(greeter)]}]  # type: ignore[index]
    server.put(made.cluster("c", **(fixed if kind == "STATIC" else {})), made.endpoints("c", 1))
    server.put(tcp("l", port, "c"), tcp("n", free_port(), "nobody"))
    async with gateway(tmp_path, server) as hub:
        await said(hub, "is in force: 0 routes, 2 upstreams")
        server.put(made.endpoints("c", greeter))
        async with asyncio.timeout(60):
            while await greeting(port) != b"hello":
                await asyncio.sleep(0.02)
        to_c = made.routes("r", made.host("v", ["*"], made.route({"prefix": "/"}, "c")))
        server.put(to_c, made.listener("h", http, "r"))
        await said(hub, "is in force: 1 routes, 3 upstreams")
        assert await greeting(port) == b"hello"
        assert await status(http) == 502  # what greets is no HTTP
    assert server.violations == []


def test_a_tcp_listener_without_a_cluster_is_refused() -> None:
    out = opened().received(response(LDS, "1", tcp("l", 1, "")), 0.0)
    assert told(out)["Listener"] == "listener 'l': TcpProxy names no cluster"


def test_tls_to_a_cluster_of_bytes_is_refused_and_not_left_out() -> None:
    session = opened()
    session.received(response(CDS, "1", made.cluster("c", transport_socket=TLS)), 0.0)
    session.received(response(LDS, "1", tcp("l", 1, "c")), 0.0)
    session.received(response(EDS, "1", made.endpoints("c", 1)), 0.0)
    out = session.flush(0.0)
    assert told(out)["Cluster"] == "xDS cluster 'c': TLS is not supported for a TcpProxy.cluster"
    assert out.tables is not None
    assert out.tables.upstreams == {"c": {"discover": "source+tcp"}}


def used(cluster: Any, *more: Any) -> Session:
    session = opened()
    session.received(response(CDS, "1", cluster), 0.0)
    session.received(response(LDS, "1", made.listener("l", 1, "r")), 0.0)
    to_c = made.routes("r", made.host("v", ["*"], made.route({"prefix": "/"}, "c")))
    session.received(response(RDS, "1", to_c), 0.0)
    for kind, resource in more:
        session.received(response(kind, "1", resource), 0.0)
    return session


def looked_up(**more: Any) -> Any:
    place = made.endpoint(443, 1, "shop.test")
    said = {"cluster_name": "c", "endpoints": [{"lb_endpoints": [place]}]}
    return made.cluster("c", type="STRICT_DNS", load_assignment=said, **more)


def test_servers_that_dns_knows_are_asked_by_tls() -> None:
    tables = used(looked_up(transport_socket=TLS)).flush(0.0).tables
    assert tables is not None
    assert tables.upstreams["c"]["discover"] == "dns+https://shop.test:443"
    tables = used(looked_up()).flush(0.0).tables
    assert tables is not None
    assert tables.upstreams["c"]["discover"] == "dns://shop.test:443"


def piped() -> Any:
    pipe = {"endpoint": {"address": {"pipe": {"path": "/run/x"}}}}
    return made.assignment("c", [pipe, made.endpoint(80)])


def test_nothing_goes_to_a_pipe_where_tls_is_asked_for() -> None:
    fixed = made.cluster("c", type="STATIC", transport_socket=TLS)
    fixed.load_assignment.CopyFrom(piped())
    answer = opened().received(response(CDS, "1", fixed), 0.0)
    assert "TLS to an Address.pipe is not supported" in told(answer)["Cluster"]


def test_a_cluster_without_its_secret_is_told_no_servers() -> None:
    """They would be asked without the certificate, and held against any authority."""
    context = {
        "@type": CLIENT,
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [{"name": "own", "sds_config": made.ADS}]
        },
    }
    secured = made.cluster("c", transport_socket={"name": "tls", "typed_config": context})
    session = used(secured, (EDS, made.endpoints("c", 80)))
    out = session.flush(60.0)  # nobody waits any longer for the secret
    session.settled(out.number, [], 60.0)
    assert out.tables is not None
    assert out.tables.upstreams == {"c": {"discover": "source+https"}}
    out = session.received(response(EDS, "2", made.endpoints("c", 81)), 60.0)
    assert out.servers == {}
    certificate = {
        "certificate_chain": {"inline_string": "C"},
        "private_key": {"inline_string": "K"},
    }
    session.received(response(SDS, "1", made.secret("own", tls_certificate=certificate)), 60.0)
    assert session.flush(60.0).servers == {"c": {"https://127.0.0.1:81": 1}}


@pytest.mark.parametrize("reasons", [[], ["xDS cluster 'c': upstream.c.tls.ca: it is none"]])
def test_servers_are_told_by_both_schemes_until_the_new_one_is_in_force(
    reasons: list[str],
) -> None:
    """Else none could be asked while the hub works on the state, or after it has refused it."""
    plain, secure = {"http://127.0.0.1:80": 1}, {"https://127.0.0.1:80": 1}
    session = used(made.cluster("c"), (EDS, made.endpoints("c", 80)))
    out = session.flush(0.0)
    assert out.servers == {"c": plain}
    session.settled(out.number, [], 0.0)
    session.received(response(CDS, "2", made.cluster("c", transport_socket=TLS)), 1.0)
    out = session.flush(1.0)
    assert out.servers == {"c": {**plain, **secure}}
    moved = session.received(response(EDS, "2", made.endpoints("c", 81)), 1.0)
    assert set(moved.servers["c"]) == {"http://127.0.0.1:81", "https://127.0.0.1:81"}
    session.received(response(EDS, "3", made.endpoints("c", 80)), 1.0)
    told_now = session.settled(out.number, reasons, 1.0).servers or session.flush(1.0).servers
    assert told_now == {"c": plain if reasons else secure}


def test_servers_by_the_scheme_of_a_state_that_was_given_up_are_not_told() -> None:
    session = used(made.cluster("c"), (EDS, made.endpoints("c", 80)))
    session.settled(session.flush(0.0).number, [], 0.0)
    session.received(response(CDS, "2", made.cluster("c", transport_socket=TLS)), 1.0)
    assert session.flush(1.0).tables is not None  # the hub never says what became of it
    session.received(response(CDS, "3", made.cluster("c", connect_timeout="9s")), 2.0)
    out = session.flush(1.0 + LONGEST)
    assert out.servers == {"c": {"http://127.0.0.1:80": 1}}
    assert session.settled(out.number, [], 1.0 + LONGEST).servers == {}


AT_ODDS = "xDS cluster 'c': upstream.c: listen[0] wants connections of it and route[0] answers"


def is_left_out(out: Out, *reasons: str) -> bool:
    assert out.tables is not None
    given = Given("1", upstreams=out.tables.upstreams, places=out.tables.places)
    return leaves_out(given, reasons)


@pytest.mark.parametrize("clusters", [["c"], []])
def test_a_tcp_listener_goes_where_its_upstream_cannot_be_even_without_servers(
    clusters: list[str],
) -> None:
    """The file has a route to an upstream of that name. What else there is comes into force."""
    session = opened()
    session.received(response(CDS, "1", *map(made.cluster, clusters)), 0.0)
    session.received(response(LDS, "1", tcp("l", 1, "c"), tcp("m", 2, "d")), 0.0)
    session.received(response(EDS, "1", *(made.endpoints(name, 80) for name in clusters)), 0.0)
    for _ in clusters:
        out = session.flush(0.0)
        assert is_left_out(out, AT_ODDS)
        assert told(session.settled(out.number, [AT_ODDS], 0.0))["Cluster"] == AT_ODDS
    out = session.flush(0.0)
    assert out.tables is not None
    assert out.tables.upstreams["c"] == {"discover": "source+tcp"}
    assert is_left_out(out, AT_ODDS)
    why = f"xDS listener 'l': {AT_ODDS.removeprefix('xDS ')}"
    assert told(session.settled(out.number, [AT_ODDS], 0.0))["Listener"] == why
    out = session.flush(0.0)
    assert out.tables is not None
    assert [one["address"] for one in out.tables.listeners] == ["127.0.0.1:2"]
    assert why in out.tables.left_out
    session.settled(out.number, [], 0.0)
    assert session.applied


def test_an_upstream_of_routes_that_nobody_has_brought_is_not_said_to_be_left_out() -> None:
    session = opened()
    session.received(response(CDS, "1"), 0.0)
    session.received(response(LDS, "1", made.listener("l", 1, "r")), 0.0)
    to_c = made.routes("r", made.host("v", ["*"], made.route({"prefix": "/"}, "c")))
    session.received(response(RDS, "1", to_c), 0.0)
    out = session.flush(0.0)
    assert out.tables is not None
    assert out.tables.upstreams == {"c": {"discover": "source"}}
    assert not is_left_out(out, AT_ODDS)
    assert set(told(session.settled(out.number, [AT_ODDS], 0.0)).values()) == {AT_ODDS}
    assert session.flush(0.0).tables is None


async def test_a_listener_at_the_address_of_another_one_is_refused(
    server: Server, tmp_path: Path
) -> None:
    port = free_port()
    server.put(made.cluster("c"), answering("r", 200), made.listener("m", port, "r"))
    async with gateway(tmp_path, server) as hub:
        await said(hub, "is in force: 1 routes")
        server.put(made.listener("a", port, "r"))
        reason = await refusal(server, "Listener")
        assert reason == f"xDS listener 'a': listener 'm' has 127.0.0.1:{port} already"
        assert await status(port) == 200
        assert not [one for one in server.answers if one.kind != "Listener" and one.reason]
    assert server.violations == []


async def test_a_listener_at_the_address_of_the_file_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, other = free_port(), free_port()
    own = f'\n[[listen]]\naddress = "127.0.0.1:{port}"\n[[route]]\npath = "/file"\nrespond = 201\n'
    monkeypatch.setattr("tests.sources.xds.test_listeners.FILE", FILE + own)
    server.put(made.cluster("c"), answering("r", 200))
    server.put(made.listener("a", port, "r"), made.listener("b", other, "r"))
    async with gateway(tmp_path, server) as hub:
        reason = await refusal(server, "Listener")
        assert reason == (
            f"xDS listener 'a': the file or another source has 127.0.0.1:{port} already"
        )
        await said(hub, "is in force: 1 routes")
        assert (await asyncio.to_thread(fetch, port, "/file"))[0] == 201
        assert await status(other) == 200
    assert server.violations == []


async def test_pipes_are_asked_unless_it_is_by_tls(server: Server, tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 \r\nconnection: close\r\n\r\n")
        writer.close()

    port, path = free_port(), str(tmp_path / "c.sock")
    pipe = {"endpoint": {"address": {"pipe": {"path": path}}}}
    upstream = await asyncio.start_unix_server(answer, path)
    routes = [made.route({"prefix": f"/{name}"}, name) for name in "cd"]
    server.put(made.cluster("c"), made.cluster("d", transport_socket=TLS))
    server.put(*(made.assignment(name, [pipe]) for name in "cd"))
    server.put(made.routes("r", made.host("v", ["*"], *routes)), made.listener("l", port, "r"))
    async with gateway(tmp_path, server) as hub:
        await said(hub, "is in force: 2 routes")
        await said(hub, "is not https://, which this upstream is asked by")
        assert [await status(port, path) for path in ("/c", "/d")] == [204, 503]
    upstream.close()
    assert server.violations == []
