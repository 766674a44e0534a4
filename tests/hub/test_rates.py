"""Two real workers count together, also when they are killed and started again."""

from __future__ import annotations

import http.client
import os
import signal
from pathlib import Path

from tests.hub.gateway import DEADLINE, children, gateway, is_alive, until

CONFIG = """
listen = ["127.0.0.1:0"]
[admin]
listen = "127.0.0.1:0"
[[route]]
name = "few"
path = "/few"
rate = { limit = "30/d", scope = "host" }
respond = "hello"
[[route]]
name = "any"
path = "/any"
respond = "hello"
"""


def asked(port: int, times: int) -> list[int]:
    """Each by a connection of its own, which any of the workers may take."""
    statuses = []
    for _ in range(times):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        connection.request("GET", "/few")
        statuses.append(connection.getresponse().status)
        connection.close()
    return statuses


def test_workers_come_and_go_and_the_limit_stays(tmp_path: Path) -> None:
    with gateway(tmp_path, CONFIG, workers=2) as hub:
        admitted = asked(hub.port, 20).count(200)
        for victim in children(hub.process.pid, "proxy.server"):
            os.kill(victim, signal.SIGKILL)
            until(lambda victim=victim: not is_alive(victim))
            until(lambda: len(children(hub.process.pid, "proxy.server")) == 2)
            until(lambda: hub.get("/any") == "hello")
        admitted += asked(hub.port, 40).count(200)
        assert admitted == 30
        assert hub.end() == 0
