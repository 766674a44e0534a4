"""A hub that follows another one: it has the other's sockets, and says when it is ready.

Until the old one says "go" nothing is taken from it: both accept on the same sockets, the admin
port is the old one's, and if this process fails, the old one goes on as if nothing had happened.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

import msgspec

from proxy.config.material import NONE, Material
from proxy.hub.activation import Given, listening
from proxy.hub.handed import RATES, VARIABLE, Handed, Lines, Place, read
from proxy.hub.roster import Roster
from proxy.server.tls_tickets import TicketKeys
from proxy.sources.source import Given as Tables

log = logging.getLogger("spangate")

Servers = Mapping[str, Mapping[str, Mapping[str, int]]]  # by source, upstream and URL


class Takeover:
    """The new one's side of one upgrade."""

    def __init__(self, handed: Handed, channel: socket.socket) -> None:
        """ValueError if a descriptor is not what it should be."""
        self.handed = handed
        self.ended: dict[str, Any] | None = None  # what the old one has counted, when it is gone
        self.is_mine = False  # the old one has said go, or is gone
        self._lines = Lines(channel)
        self._channel = channel
        self._go = asyncio.Event()
        self._gone = asyncio.Event()
        self._places = dict(handed.places)
        channel.setblocking(False)
        for fd in handed.descriptors():
            try:
                os.set_inheritable(fd, False)
            except OSError:
                raise ValueError(f"descriptor {fd} was not handed over") from None

    @property
    def rates(self) -> int:
        """The memory of rate limits, -1 where it is laid out in another way."""
        return self.handed.rates if self.handed.rates_layout == RATES else -1

    @property
    def line(self) -> list[int]:
        """The hubs before this one that are alive."""
        return [pid for pid in self.handed.line if os.path.exists(f"/proc/{pid}")]

    def given(self) -> Given:
        """What somebody else has opened for the first process of the line."""
        found = [(name, listening(fd)) for name, fd in self.handed.given]
        return Given((name, sock) for name, sock in found if sock is not None)

    def restore(self, tickets: TicketKeys, roster: Roster) -> None:
        """What clients and operators have been told goes on."""
        if len(self.handed.tickets) == 2:
            tickets.current, tickets.earlier = self.handed.tickets
        for key in self.handed.drained:
            roster.drain(key, True)

    @property
    def servers(self) -> Servers:
        """What sources had said to the old one."""
        return said(self)[1]

    @property
    def drains(self) -> bool:
        """Whether the old one is there still."""
        return self._channel.fileno() >= 0

    def place(self, address: str) -> Place | None:
        """Where the old one listens, once; None for an address that is new."""
        return self._places.pop(address, None)

    def admin(self, listen: str) -> socket.socket | None:
        """The socket of the admin port, None if that is another address now."""
        handed = self.handed
        if handed.admin < 0 or listen != handed.admin_listen:
            return None
        return listening(handed.admin)

    def failed(self, reasons: Iterable[object]) -> None:
        """Say why this process does not start."""
        if not self.is_mine:
            self._lines.send({"failed": [str(reason) for reason in reasons]})

    def close_rest(self) -> None:
        """Of listeners that the configuration does not have any more: the old one ends them."""
        for place in self._places.values():
            for slot in place.slots:
                for fd in slot:
                    os.close(fd)
        self._places.clear()

    async def ready(self) -> None:
        """Say so, and wait for the old one to leave; if it dies, it has left."""
        asyncio.get_running_loop().add_reader(self._channel, self._read)
        self._lines.send({"ready": os.getpid()})
        await self._go.wait()

    async def gone(self, timeout: float) -> bool:
        """Wait for the old one's end, so many seconds."""
        try:
            await asyncio.wait_for(self._gone.wait(), timeout)
        except TimeoutError:
            return False
        return True

    def _read(self) -> None:
        try:
            data = self._channel.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        for message in self._lines.feed(data):
            if message.get("go"):
                self._mine()
            if isinstance(message.get("ended"), dict):
                self.ended = message["ended"]
        if not data:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._channel.close()
            self._gone.set()
            self._mine()
            log.info(
                "the gateway before this one (pid %d) has ended",
                self.handed.pid,
                extra={"key": "upgrade.predecessor_ended"},
            )

    def _mine(self) -> None:
        self.is_mine = True
        self._go.set()


def receive(environ: MutableMapping[str, str]) -> Takeover | None:
    """What this process takes over, if anything; ValueError if it cannot. The variable is taken
    out of `environ`, so that no child believes it."""
    said = environ.pop(VARIABLE, "")
    if not said:
        return None
    channel, _, memory = said.partition(",")
    try:
        numbers = int(channel), int(memory)
        for fd in numbers:
            os.set_inheritable(fd, False)
        sock = socket.socket(fileno=numbers[0])
    except (ValueError, OSError, OverflowError):
        raise ValueError(f"{VARIABLE} is for upgrades alone: do not set it") from None
    lines = Lines(sock)
    try:
        return Takeover(read(numbers[1]), sock)
    except ValueError as error:
        lines.send({"failed": [str(error)]})
        raise


def known(takeover: Takeover | None) -> Material:
    """What `load` is to know already."""
    return takeover.handed.material if takeover is not None else NONE


def said(takeover: Takeover | None) -> tuple[dict[str, Tables], Servers]:
    """What sources had given to the old one, and the servers that they had said."""
    if takeover is None or not takeover.handed.sources:
        return {}, {}
    kind = tuple[dict[str, Tables], dict[str, dict[str, dict[str, int]]]]
    try:
        given, servers = msgspec.msgpack.decode(takeover.handed.sources, type=kind)
        return given, servers
    except msgspec.MsgspecError as error:
        words = "what sources gave was not handed over: %s"
        log.warning(words, error, extra={"key": "source.not_handed"})
        return {}, {}
