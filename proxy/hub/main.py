"""`spangate run`: from a file's path to a running hub, and to an exit code.

Only what workers need to be started is imported here; the rest follows when they run.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from proxy import runner
from proxy.config.load import YAML, Loaded, load
from proxy.config.model import Config
from proxy.config.placed import placed
from proxy.errors import ConfigError
from proxy.hub.activation import receive
from proxy.hub.cores import usable_cores
from proxy.hub.hub import Begun, Hub
from proxy.hub.sockets import ListenError, Sockets, listen_once, raise_descriptor_limit
from proxy.hub.supervisor import COMMAND
from proxy.hub.takeover import Takeover, known
from proxy.hub.takeover import receive as take_over
from proxy.hub.watched import config_marks
from proxy.log import begin, configure

log = logging.getLogger("spangate")

Start = Callable[[Loaded, socket.socket | None], Coroutine[Any, Any, int]]


def run(path: str, workers: int | None, command: Sequence[str] = COMMAND, keylog: str = "") -> int:
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
        return Hub(loaded, sockets, admin, Begun(count, command, keylog, seen, before)).run()

    seen = config_marks(path)
    try:
        before = take_over(os.environ)
    except ValueError as error:
        return _refuse(f"spangate: {error}")
    try:
        loaded = load(path, os.environ, known(before))
    except ConfigError as error:
        return _refuse(*error.problems, before=before)
    if path.endswith(YAML):
        return _refuse(f"{path}: a collector's file has no routes (write spangate collect {path})")
    count = workers or worker_count(loaded.config)
    given = before.given() if before is not None else receive(os.environ, os.getpid())
    sockets = Sockets(count, given, before)
    return _run(loaded, start, sockets, before)


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
            sockets.open(loaded.config.listen)
            for what in sockets.unclaimed() if before is None else ():
                log.warning(
                    "%s was given to listen on, and no listener is for it",
                    what,
                    extra={"key": "socket.unused"},
                )
        admin = before.admin(loaded.config.admin.listen) if before is not None else None
        admin = admin or _admin_socket(loaded)
    except ListenError as error:
        return _refuse(*placed(error.problems, loaded), before=before)
    return runner.run(start(loaded, admin))


def worker_count(config: Config) -> int:
    """What `workers` says; "auto" is the number of cores that this process may use."""
    return usable_cores() if config.workers == "auto" else config.workers


def _admin_socket(loaded: Loaded) -> socket.socket | None:
    listen = loaded.config.admin.listen
    return listen_once(listen, "admin.listen") if listen else None


def _refuse(*reasons: object, before: Takeover | None = None) -> int:
    for reason in reasons:
        sys.stderr.write(f"{reason}\n")
    if before is not None:
        before.failed(reasons)
    return 1
