"""Connections that rules of the kernel have turned to a sidecar go where they wanted to go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.harness import DEADLINE, Backend, Peer
from tests.server import netns
from tests.server.kit import CLIENT, attributes
from tests.server.sidecar_kit import sidecar

NFT = 'redirect = "nft"'


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    with netns.network():
        yield


async def told(address: str, port: int, said: str, how: str = "shut") -> bytes:
    """What somebody who was turned has got."""
    process = netns.client(address, port, said, how)
    async with asyncio.timeout(DEADLINE):
        return (await asyncio.to_thread(process.communicate))[0]


async def listening(handler: object, *hosts: str) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await handler(Peer(reader, writer))  # type: ignore[operator]
        writer.close()

    return await asyncio.start_server(serve, hosts, netns.PORT)


async def say(peer: Peer) -> None:
    local = peer.writer.get_extra_info("sockname")[0]
    await peer.head()
    body = f"from {local}".encode()
    peer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body))
    peer.write(body)


async def greet(peer: Peer) -> None:
    peer.write(b"5.7 ready\n")
    peer.write(await peer.reader.read(-1))


GET = r"GET /x HTTP/1.1\r\nHost: users.test\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize("address", [netns.HERE4, netns.HERE6])
async def test_a_request_goes_where_its_connection_was_meant_to_go(address: str) -> None:
    async with await listening(say, address), Backend() as app:
        port = netns.PORT
        async with sidecar(app, mesh=NFT, hosts=("127.0.0.1", "::1")) as side:
            netns.turn(port, side.outbound)
            answer = await told(address, port, GET, "open")
            assert answer.endswith(f"from {address}".encode())
            (span,) = await side.spans(1)
            about = attributes(span)
            assert span.kind == CLIENT and about["network.peer.address"] == address
            assert about["url.full"] == "http://users.test/x"
            assert about["server.address"] == "users.test"


async def test_a_route_of_the_file_wins_over_where_it_was_meant_to_go() -> None:
    async with await listening(say, netns.HERE4), Backend() as app, Backend() as users:
        port = netns.PORT
        more = f'[upstream.users]\nservers = ["{users.url}"]\n'
        async with sidecar(app, more, NFT) as side:
            netns.turn(port, side.outbound)
            await told(netns.HERE4, port, GET.replace("users.test", "users"), "once")
            assert len(users.heads) == 1


async def test_a_server_that_speaks_first_keeps_nobody_waiting() -> None:
    async with await listening(greet, netns.HERE4), Backend() as app:
        port = netns.PORT
        async with sidecar(app, mesh=NFT) as side:
            netns.turn(port, side.outbound)
            for how, number in (("server_first", 1), ("remembered", 2)):
                assert await told(netns.HERE4, port, "", "once") == b"5.7 ready\n"
                span = (await side.spans(number))[-1]
                about = attributes(span)
                assert span.kind == CLIENT and not span.parent_span_id
                assert about["spangate.detected"] == how
                assert about["network.peer.port"] == port


async def test_a_port_where_nobody_listens_resets_whoever_says_nothing() -> None:
    async with Backend() as app, sidecar(app, mesh=NFT) as side:
        netns.turn(netns.PORT, side.outbound)
        assert await told(netns.HERE4, netns.PORT, "", "open") == b"!ConnectionResetError"


async def test_what_comes_in_for_another_port_goes_there_and_nowhere_else() -> None:
    async with await listening(say, netns.HERE4), Backend() as app:
        port = netns.PORT
        async with sidecar(app, mesh=NFT) as side:
            netns.turn(port, side.inbound)
            answer = await told(netns.HERE4, port, GET, "open")
            assert answer.endswith(f"from {netns.HERE4}".encode())
            # 10.1.1.1 is not here: who calls it by the inbound side wants a relay
            answer = await told("127.0.0.1", port, GET, "open")
            assert b" 503 " in answer.partition(b"\r\n")[0]  # nobody listens at 127.0.0.1
            assert not app.peers
