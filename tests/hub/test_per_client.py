"""Two real workers count the connections of one address together; one that is killed gives back."""

from __future__ import annotations

import http.client
import os
import signal
from pathlib import Path

from tests.hub.gateway import DEADLINE, children, gateway, is_alive, until

MOST = 12
CONFIG = f"""
listen = ["127.0.0.1:0"]
[admin]
listen = "127.0.0.1:0"
[forwarding]
trust = []
[limits]
per_client = {{ connections = {MOST} }}
[[route]]
path = "/*"
respond = "hello"
"""


class Caller:
    """One kept connection, from an address of its own network."""

    def __init__(self, port: int, address: str = "127.0.0.2") -> None:
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", port, timeout=DEADLINE, source_address=(address, 0)
        )

    def is_served(self) -> bool:
        try:
            if self._connection.sock is None:
                self._connection.connect()
            self._connection.auto_open = 0
            self._connection.request("GET", "/")
            return self._connection.getresponse().read() == b"hello"
        except (OSError, http.client.HTTPException):
            return False

    def close(self) -> None:
        self._connection.close()


def fill(port: int, times: int) -> list[Caller]:
    """Those of so many that are served."""
    return [caller for caller in [Caller(port) for _ in range(times)] if caller.is_served()]


def test_no_address_has_more_by_having_two_workers(tmp_path: Path) -> None:
    with gateway(tmp_path, CONFIG, workers=2) as hub:
        kept = fill(hub.port, 60)
        assert len(kept) == MOST
        assert Caller(hub.port, "127.0.0.3").is_served()
        for victim in children(hub.process.pid, "proxy.server"):
            os.kill(victim, signal.SIGKILL)
            until(lambda victim=victim: not is_alive(victim))
            until(lambda: len(children(hub.process.pid, "proxy.server")) == 2)
            until(lambda: Caller(hub.port, "127.0.0.3").is_served())
            left = [caller for caller in kept if caller.is_served()]
            if len(left) < MOST:  # what it had is free, and no more than that

                def one_more(left: list[Caller] = left) -> bool:
                    left += fill(hub.port, 1)
                    return len(left) == MOST

                until(one_more)
            assert fill(hub.port, 20) == []
            kept = left
        for caller in kept:
            caller.close()
        until(lambda: len(fill(hub.port, 1)) == 1)
        assert hub.end() == 0
