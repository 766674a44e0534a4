"""A listener that accepts, pauses and goes on: who comes meanwhile waits in the kernel's queue."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from proxy.server.listener import Listener
from tests.server.kit import eventually


class Guests:
    """Who was accepted."""

    def __init__(self) -> None:
        self.came = 0

    def open(self) -> asyncio.Protocol:
        self.came += 1
        return asyncio.Protocol()


@contextlib.asynccontextmanager
async def listening(guests: Guests) -> AsyncIterator[Listener]:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    listener = Listener("127.0.0.1:0", sock)
    await listener.start(guests.open)
    try:
        yield listener
    finally:
        listener.close()


async def turns_of_the_loop() -> None:
    """As many as whatever was begun could need."""
    one, other = socket.socketpair()
    with one, other:
        reader, writer = await asyncio.open_connection(sock=one)
        other.setblocking(False)
        for _ in range(20):
            other.send(b"x")
            await reader.readexactly(1)
        writer.close()


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_a_pause_counts_although_it_was_just_about_to_go_on(times: int) -> None:
    guests = Guests()
    async with listening(guests) as listener:
        for _ in range(times):
            listener.pause()
            listener.resume()
        listener.pause()
        with socket.create_connection(listener.socket.getsockname()):
            await turns_of_the_loop()
            assert guests.came == 0
            listener.resume()
            await eventually(lambda: guests.came)
            assert guests.came == 1


async def test_it_goes_on_once_however_often_it_is_told() -> None:
    guests = Guests()
    async with listening(guests) as listener:
        listener.pause()
        for _ in range(3):
            listener.resume()
        await turns_of_the_loop()
        listener.pause()
        with socket.create_connection(listener.socket.getsockname()):
            await turns_of_the_loop()
            assert guests.came == 0
