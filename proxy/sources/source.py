"""What a source of configuration gives, whom it tells, and what it hears of it.

A source says routes, upstreams and listeners as tables of routes.toml, so that the same checks
judge them. All that it says at one time is one state: it comes into force whole or not
at all, and who gave it hears which. Endpoints go a shorter way, without a reload.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec


class Given(msgspec.Struct, frozen=True):
    """All that a source says now; what is not here any more is gone."""

    version: str  # of the source: for /config, /metrics and messages
    routes: Sequence[Mapping[str, Any]] = ()  # tables [[route]], short forms allowed
    upstreams: Mapping[str, Mapping[str, Any]] = {}  # tables [upstream.NAME]
    listeners: Sequence[Mapping[str, Any]] = ()  # tables [[listen]]
    # certificate and key, PEM, by the name in `cert = "source:NAME"`
    certificates: Mapping[str, tuple[bytes, bytes]] = {}
    authorities: Mapping[str, bytes] = {}  # PEM, by the name in `ca = "source:NAME"`
    # where a table came from, for messages: ("route", 0) -> "etcd key /spangate/routes/shop"
    places: Mapping[tuple[str | int, ...], str] = {}
    versions: Mapping[str, str] = {}  # by type of resource, where the source has several
    # what the source itself has left out, each with its place and why; for /config and the log
    left_out: Sequence[str] = ()
    kept: Sequence[str] = ()  # those of left_out whose place is in it as it was before
    amiss: Sequence[str] = ()  # places of what is left out, where the source knows them
    mark: int = 0  # for the source alone
    renewed: Sequence[str] = ()  # places that have changed since what was given before


def in_one(versions: Mapping[str, str]) -> str:
    """The version of a source that has several."""
    return ", ".join(f"{kind} {version}" for kind, version in versions.items())


class Hears(Protocol):
    """Whom a source tells. All of it may be called as often as anything is known."""

    def given(self, given: Given) -> None:
        """A new state. Several in a short time are applied as one: the last."""

    def servers(self, upstream: str, servers: Mapping[str, int], note: str = "") -> None:
        """The servers of an upstream whose table says `discover = "source"`: by URL with weights.
        At once in force, without a reload."""

    def heard(self, versions: Mapping[str, str] | None = None) -> None:
        """The source has answered, and there is nothing new: what it gave still holds. `versions`:
        what it is called now, by type of resource, where that is said besides states."""

    def failed(self, reason: str, in_part: bool = False) -> None:
        """The source cannot be asked now; what it gave holds. `in_part`: the rest of it goes on,
        so that a state or servers are no sign that this is over; only `heard` is."""


class Source(Protocol):
    """One control plane, catalogue or cluster."""

    async def watch(self, hears: Hears) -> None:
        """Ask, and go on until cancelled. It raises nothing: whatever goes wrong is told. It gives
        once even if there is nothing, so that it is known that there is nothing."""

    def settled(self, given: Given, reasons: Sequence[str]) -> bool:
        """`given` is in force, or was refused for these reasons, each of which names its place.
        Whether another one is to come soon that leaves out what is to blame. One that was not the
        newest any more leaves out nothing, and is followed anyway: False."""


class About(msgspec.Struct, frozen=True):
    """What a source may know of the gateway that it is for."""

    folder: str  # of the configuration: relative paths are those in it
    resource: Mapping[str, str] = {}  # [resource] of the file
    environ: Mapping[str, str] = {}
    material: Any = None  # what the files of TLS hold (config/material.py)
