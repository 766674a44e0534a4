"""What one hub hands to the next one in an upgrade: descriptors by number, and a few facts.

It is JSON in a memfd that the new process inherits together with all descriptors that it names,
and with one end of a channel on which both talk in lines of JSON:

new  {"failed": [words, …]}   it cannot start; the old one goes on
     {"ready": PID}           its workers accept beside the old one's
old  {"go": true}             the admin port and the files of sockets are the new one's now
     {"ended": {…}}           all that ran there is over: what it has counted, for /stats

Between releases fields may come, never go or change: a release that does change one raises VERSION,
and is refused by the one that it should follow.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from proxy.config.material import MESH, SELF_SIGNED, Certified, Material, pair
from proxy.kernel.gcra import HEADER, SLOT

VARIABLE = "SPANGATE_TAKEOVER"  # in the new one's environment: two descriptors, channel and memfd
VERSION = 1
RATES = f"{HEADER} {SLOT}"  # how the memory of rate limits is laid out
LONGEST = 1 << 20  # bytes of a line on the channel


class Place(msgspec.Struct, frozen=True):
    """One address that is listened on."""

    slots: list[list[int]]  # descriptors by slot, and by family in each
    shared: bool = False  # all slots have one queue
    file: tuple[int, int] = (0, 0)  # of a Unix socket: device and inode; (0, 0) = not the hub's


class Handed(msgspec.Struct, frozen=True):
    """The state of the old one."""

    version: int
    pid: int
    line: list[int] = []  # hubs that may be alive, with that one
    places: dict[str, Place] = {}
    given: list[tuple[str, int]] = []  # sockets of somebody else, as systemd, by name
    admin: int = -1  # descriptor; -1 = none
    admin_listen: str = ""
    rates: int = -1  # the memory of rate limits
    rates_layout: str = ""
    tickets: list[bytes] = []  # keys of sessions of TLS: current, earlier
    sticky: bytes = b""  # what cookies are signed with
    made: Certified | None = None  # the certificate that no file has
    mesh: Certified | None = None  # who this is in a mesh
    trust: dict[str, bytes] = {}  # and whom it believes there: PEM by trust domain
    drained: list[tuple[str, str]] = []  # endpoints that an operator has drained
    sources: bytes = b""  # what they have given (hub/sources.py)

    @property
    def material(self) -> Material:
        """What `load` is to know already."""
        made = {pair(*SELF_SIGNED): self.made, pair(MESH, MESH): self.mesh}
        found = {where: one for where, one in made.items() if one is not None}
        return Material(certificates=found, trust=self.trust)

    def descriptors(self) -> Iterator[int]:
        """All that it names."""
        for place in self.places.values():
            for slot in place.slots:
                yield from slot
        yield from (fd for _, fd in self.given)
        yield from (fd for fd in (self.admin, self.rates) if fd >= 0)


def write(handed: Handed) -> int:
    """A memfd that holds it."""
    memory = os.memfd_create("spangate-handed")
    with open(memory, "wb", closefd=False) as file:
        file.write(msgspec.json.encode(handed))
    return memory


def read(memory: int) -> Handed:
    """ValueError, in words, if that is nothing to go on from. The descriptor is closed."""
    with open(memory, "rb") as file:
        file.seek(0)
        said = file.read()
    try:
        version = msgspec.json.decode(said)["version"]
        if version != VERSION:
            raise ValueError(
                f"this release cannot follow the one that runs (hand-over {version}, not {VERSION})"
            )
        return msgspec.json.decode(said, type=Handed)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise ValueError(f"what was handed over cannot be read: {error}") from None


class Lines:
    """One end of the channel, for both ways of waiting."""

    __slots__ = ("_buffer", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""

    def send(self, message: Mapping[str, Any]) -> None:
        """To one that is gone nothing can be said."""
        with contextlib.suppress(OSError):
            self.sock.send(json.dumps(message).encode() + b"\n")

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The messages that are whole; what is none is left out."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        self._buffer = self._buffer[:LONGEST]
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict):
                yield message
