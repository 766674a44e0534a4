"""Ports that programs are told to listen on, because they cannot say which one they took."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

_FIRST, _END = 20_000, 32_000
_LAST_GIVEN = Path(tempfile.gettempdir(), f"spangate-tests-last-port-{os.getuid()}")


def free_port() -> int:
    """A port on which nobody listens now, and which no other test is given until all the others
    have been. From below those that the kernel gives to connections and to whoever asks for any,
    so that none of these takes it before its program does."""
    with open(_LAST_GIVEN, "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # until it is closed
        file.seek(0)
        text = file.read()
        port = int(text) if text.isdecimal() else _FIRST
        while True:
            port = port + 1 if _FIRST <= port < _END - 1 else _FIRST
            if _is_free(port):
                break
        file.truncate(0)
        file.write(str(port))
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
