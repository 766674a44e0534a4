"""The folder where workers and the process of queues meet: ours alone, or it is not used.

Whoever may connect there could deliver messages and publish past every check, so that a folder
that somebody else has made, or may write to, is an error.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress

from proxy.config.messaging_expand import deliver_socket, folder, publish_socket
from proxy.config.model import Config
from proxy.errors import ConfigError, Problem
from proxy.messaging.setup import is_wanted


def prepare() -> None:
    """Make it; raises ConfigError."""
    path = folder()
    try:
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
        found = os.lstat(path)
    except OSError as error:
        remedy = "set XDG_RUNTIME_DIR to a folder that this user may write to"
        reason = f"cannot make the folder {path}: {error.strerror}"
        raise ConfigError([Problem("messaging", reason, remedy)]) from None
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    if not mine or stat.S_IMODE(found.st_mode) & 0o077:
        message = f"{path} is not this user's alone, and messages would pass through it"
        raise ConfigError([Problem("messaging", message, "remove it")])


def prepare_for(config: Config) -> None:
    """If the configuration has a use for it."""
    if is_wanted(config):
        prepare()


def leave() -> None:
    """It was a place for this process alone, and so are the sockets that it still has: those of a
    hub that another one follows have been left to that one, which has its own."""
    path = folder()
    with suppress(OSError):
        held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(held).st_uid == os.getuid():
                for address in (publish_socket(), deliver_socket()):
                    with suppress(FileNotFoundError):
                        os.unlink(os.path.basename(address), dir_fd=held)
        finally:
            os.close(held)
        os.rmdir(path)
