"""`spangate run`: from a file's path to a running hub, and to an exit code.

Only what workers need to be started is imported here; the rest follows when they run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Protocol

from proxy import runner
from proxy.config.load import YAML, Loaded, load
from proxy.config.mesh_expand import key_of
from proxy.config.model import Config
from proxy.config.placed import placed
from proxy.errors import ConfigError, Problem
from proxy.hub import meeting
from proxy.hub.activation import receive
from proxy.hub.cores import usable_cores
from proxy.hub.hub import Begun, Hub
from proxy.hub.sockets import ListenError, Sockets, listen_once, raise_descriptor_limit
from proxy.hub.supervisor import COMMAND
from proxy.hub.takeover import Takeover, known, said
from proxy.hub.takeover import receive as take_over
from proxy.hub.watched import config_marks
from proxy.log import begin, configure

log = logging.getLogger("spangate")

Start = Callable[[Loaded, socket.socket | None], Coroutine[Any, Any, int]]


class Beside(Protocol):
    """What is there for as long as a gateway is, and those that follow it by upgrades."""

    def begin(self) -> bool:
        """All listeners are bound, and nobody else has them. False: do not start, and the reason is
        told."""

    def end(self) -> None:
        """The gateway has ended, and no other one has followed it."""

    def lost(self, config: Config) -> None:
        """It has ended, and the one that has followed it was killed before; one that has followed
        that may be in charge. `config` was the last one in force here."""


def run(
    path: str,
    workers: int | None,
    command: Sequence[str] = COMMAND,
    keylog: str = "",
    beside: Beside | None = None,
) -> int:
    """Run the gateway of the file `path` until a signal ends it; returns the exit code.

    `workers` wins over the file. `command` starts a worker; what it is told is appended. `keylog`:
    a file for the keys of all TLS connections, which lets its readers decrypt them.
    """

    def start(loaded: Loaded, admin: socket.socket | None) -> Coroutine[Any, Any, int]:
        if keylog:
            log.warning(
                "the keys of all TLS connections are written to %s: not secret",
                keylog,
                extra={"key": "tls.keys_written"},
            )
        loaded, identity = _identified(loaded)
        begun = Begun(count, command, keylog, seen, before, identity)
        hub = Hub(loaded, sockets, admin, begun)
        return hub.run() if beside is None else _run_with(hub, beside)

    seen = config_marks(path)
    try:
        before = take_over(os.environ)
    except ValueError as error:
        return _refuse(f"spangate: {error}")
    try:
        loaded = load(path, os.environ, known(before), said(before)[0])
    except ConfigError as error:
        return _refuse(*error.problems, before=before)
    if path.endswith(YAML):
        return _refuse(f"{path}: a collector's file has no routes (write spangate collect {path})")
    count = workers or worker_count(loaded.config)
    given = before.given() if before is not None else receive(os.environ, os.getpid())
    sockets = Sockets(count, given, before)
    return _run(loaded, start, sockets, before)


async def _run_with(hub: Hub, beside: Beside) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):  # until it runs, whose own handlers hear of them
        asyncio.get_running_loop().add_signal_handler(number, int)
    if not beside.begin():
        hub.sockets.close(hub.sockets.addresses)
        return _refuse(before=hub.before)
    try:
        return await hub.run()
    finally:
        if hub.upgrade.is_lost:
            beside.lost(hub.loaded.config)
        elif not _is_followed(hub):
            beside.end()


def _is_followed(hub: Hub) -> bool:
    """Whether another one is in charge: one that has followed it, or that it should have."""
    return bool(hub.upgrade.successor) or (hub.before is not None and not hub.before.is_mine)


def _identified(loaded: Loaded) -> tuple[Loaded, Any]:
    """With who this is in a mesh; most are in none."""
    if loaded.config.mesh is None or loaded.config.mesh.identity is None:
        return loaded, None
    from proxy.hub.identity import begun

    return begun(loaded)


def run_hub(path: str, start: Start) -> int:
    """Run `start` with the file `path` and the admin socket; returns the exit code."""
    try:
        loaded = load(path, os.environ)
    except ConfigError as error:
        return _refuse(*error.problems)
    return _run(loaded, start)


def _run(
    loaded: Loaded, start: Start, sockets: Sockets | None = None, before: Takeover | None = None
) -> int:
    begin("hub")
    configure(loaded.config.log.format, loaded.config.log.level)
    for warning in loaded.warnings:
        log.warning("%s", warning, extra={"key": "config.warning"})
    raise_descriptor_limit()
    try:
        if sockets is not None:
            meeting.prepare_for(loaded.config)
            sockets.open(loaded.config.listen)
            for what in sockets.unclaimed() if before is None else ():
                log.warning(
                    "%s was given to listen on, and no listener is for it",
                    what,
                    extra={"key": "socket.unused"},
                )
        admin = before.admin(loaded.config.admin.listen) if before is not None else None
        admin = admin or _admin_socket(loaded)
    except ConfigError as error:  # ListenError among them
        return _refuse(*placed(_named(error, loaded.config), loaded), before=before)
    return runner.run(start(loaded, admin))


def worker_count(config: Config) -> int:
    """What `workers` says; "auto" is the number of cores that this process may use."""
    return usable_cores() if config.workers == "auto" else config.workers


def _named(error: ConfigError, config: Config) -> list[Problem]:
    """Its problems; an address that cannot be had goes by the key that it was written as."""
    if not isinstance(error, ListenError):
        return error.problems
    key = key_of(config, error.address)
    return [
        replace(one, key=key, remedy=one.remedy.replace("`listen`", f"`{key}`"))
        if one.key == "listen"
        else one
        for one in error.problems
    ]


def _admin_socket(loaded: Loaded) -> socket.socket | None:
    listen = loaded.config.admin.listen
    return listen_once(listen, "admin.listen") if listen else None


def _refuse(*reasons: object, before: Takeover | None = None) -> int:
    for reason in reasons:
        sys.stderr.write(f"{reason}\n")
    if before is not None:
        before.failed(reasons)
    return 1
