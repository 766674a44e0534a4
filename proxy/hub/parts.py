"""What the parts of a hub may know of the whole, so that no two files need each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from proxy.collector.books import Standing
from proxy.config.given import Givens
from proxy.config.load import Loaded
from proxy.config.material import Material
from proxy.config.model import Config
from proxy.errors import Problem
from proxy.hub.boards import Boards
from proxy.hub.config_history import ConfigHistory
from proxy.hub.maintenance import Switch
from proxy.hub.questions import Answered, Tell
from proxy.hub.readiness import Readiness
from proxy.hub.rings import Rings
from proxy.hub.roster import Roster
from proxy.hub.settled import Marks
from proxy.hub.snapshot import Generation
from proxy.hub.sockets import Sockets
from proxy.hub.supervisor import Supervisor
from proxy.telemetry.metrics import Series
from proxy.telemetry.totals import Totals


class Outcomes(Protocol):
    """How reloads went."""

    succeeded: int
    failed: int
    refused: int
    last: bool
    error: str
    reasons: Sequence[object]  # the same, as they were found
    tried: int
    seen: Marks  # the files as they were when they were last read
    text: str  # of the file that was tried last
    history: ConfigHistory

    def load(self, file: str, known: Material, given: Givens) -> Loaded:
        """Read the file; ConfigError if it cannot be used."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reload ended."""

    generation: int  # in force now
    reasons: tuple[object, ...] = ()  # why the new one is not: Problems, errors, words
    warnings: tuple[Problem, ...] = ()  # about what is in force

    @property
    def status(self) -> int:
        """Of HTTP: 422 = the file must be mended; 409 = the gateway could not do it now."""
        if not self.reasons:
            return 200
        return 422 if all(isinstance(reason, Problem) for reason in self.reasons) else 409


class Reloader(Protocol):
    def ask(self) -> asyncio.Future[Outcome]:
        """A reload that begins after this call."""


class Handed(Protocol):
    @property
    def pid(self) -> int: ...


class Before(Protocol):
    """A hub that another one has followed."""

    ended: dict[str, Any] | None  # what it had counted at its end

    @property
    def servers(self) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
        """What sources had said to it, by source, upstream and URL."""

    @property
    def handed(self) -> Handed: ...
    @property
    def drains(self) -> bool:
        """Whether it is there still."""

    async def gone(self, timeout: float) -> bool:
        """Wait for its end, so many seconds."""


class Reloading(Protocol):
    """Whoever goes by a file that may be read again."""

    @property
    def number(self) -> int:
        """Of the configuration in force."""

    @property
    def loaded(self) -> Loaded:
        """What is in force."""

    @property
    def reloads(self) -> Outcomes: ...
    @property
    def reloader(self) -> Reloader: ...
    @property
    def changing(self) -> asyncio.Lock:
        """Held by whoever changes the configuration."""


class Viewers(Protocol):
    """Who watches requests."""

    @property
    def told(self) -> tuple[int, bytes]:
        """The frame that a new worker goes by."""

    async def add(self, query: str, tell: Tell) -> Callable[[], None]:
        """One more; what is returned ends it."""


class Whole(Reloading, Protocol):
    """The hub."""

    generation: Generation
    keys: bytes  # what KEYS frames carry, b"" = nothing
    ready: bool
    readiness: Readiness
    stopping: bool
    identity: Any  # Identity, once there has been a mesh

    @property
    def booted(self) -> Config:
        """What a restart would be compared with."""

    @property
    def started(self) -> float: ...
    @property
    def sockets(self) -> Sockets: ...
    @property
    def rings(self) -> Rings: ...
    @property
    def totals(self) -> Totals: ...
    @property
    def supervisor(self) -> Supervisor: ...
    @property
    def boards(self) -> Boards: ...
    @property
    def roster(self) -> Roster: ...
    @property
    def switch(self) -> Switch: ...
    @property
    def collector(self) -> Collector: ...
    @property
    def viewers(self) -> Viewers: ...

    @property
    def secrets(self) -> bytes:
        """What SECRETS frames carry."""

    @property
    def before(self) -> Before | None:
        """The hub that this one has followed."""

    async def refresh(self) -> None:
        """Bring in everything that was counted until now."""

    def renew_secrets(self) -> bool:
        """New keys for sessions of TLS, if it is time for them."""

    async def tell_endpoints(self) -> None:
        """Tell all workers what is known about every endpoint."""


class Change(Protocol):
    """A configuration that the collector has started beside the one in force."""

    async def abandon(self) -> None: ...


class Collector(Protocol):
    """The collector, in a process of its own or in this one. It reads every ring of the hub."""

    @property
    def pid(self) -> int:
        """Of its own process; 0 if there is none now."""

    @property
    def restarts(self) -> int: ...
    @property
    def cpu_spent(self) -> float:
        """Seconds, of processes that have ended."""

    @property
    def lag(self) -> int:
        """Nanoseconds: the longest delay of its own process's loop in the last minute."""

    async def start(self, config: Config) -> None:
        """Raises ConfigError when [export] or [collector] cannot work."""

    async def prepare(self, config: Config) -> Change:
        """The next configuration, started and not in force yet; raises ConfigError or OSError."""

    async def adopt(self, config: Config, change: Change) -> None:
        """Bring it into force."""

    async def refresh(self) -> None:
        """Bring in what it has counted until now; returns soon, with or without it."""

    def series(self) -> Iterable[Series]:
        """What it counts, but the books."""

    def standings(self) -> Sequence[Standing]:
        """The books."""

    def view(self) -> Mapping[str, Any]:
        """For /pipelines."""

    async def ask(self, target: str, accept: str) -> Answered:
        """What is known of recent telemetry: the answer to that path and query of a URL."""

    def tap(self, query: str, tell: Tell) -> Callable[[], None]:
        """Have requests told as they end, in lines of JSON; what is returned ends it.

        Raises ValueError for a filter that cannot be understood.
        """

    @property
    def lines_dropped(self) -> int:
        """Access lines that stdout did not take."""

    async def report(self, series: Iterable[Series]) -> None:
        """Offer metrics of the gateway to the pipelines that take them."""

    async def stop(self, deadline: float) -> None:
        """Have it deliver within `deadline` seconds what the workers left, and end it."""
