"""Ports that programs are told to listen on, because they cannot say which one they took."""

from __future__ import annotations

import random
import socket


def free_port() -> int:
    """A port on which nobody listens now. From below those that the kernel gives to connections
    and to whoever asks for any, so that none of these takes it before its program does."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
