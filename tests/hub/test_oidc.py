"""A login at a whole gateway: the hub asks the issuer, and any worker knows the session."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.harness import Client
from tests.hub.gateway import gateway
from tests.server.oidc_kit import CLIENT, SECRET, Browser, issuer

CONFIG = """
listen = "127.0.0.1:0"
drain_timeout = "1s"
[admin]
listen = "127.0.0.1:0"
[auth.login.oidc]
issuer = "{issuer}"
client_id = "{client}"
secret = "${{file:secret}}"
[[route]]
path = "/*"
respond = {{ status = 200, body = "pong" }}
auth = "login"
"""


class Door:
    """A gateway as a Browser knows it."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def connect(self) -> Client:
        return Client(*await asyncio.open_connection("127.0.0.1", self.port))


async def test_a_session_is_known_to_every_worker_and_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    async with issuer() as at:
        text = CONFIG.format(issuer=at.url, client=CLIENT)
        with gateway(tmp_path, text, workers=2) as hub:
            browser = Browser(Door(hub.port))
            assert (await browser.login(at)).status == 303
            for _ in range(12):  # whichever worker takes the connection
                assert (await browser.ask("/")).body == b"pong"
            assert SECRET not in hub.ask("/config")[2].decode()
            shown = "\n".join(hub.lines)
        with gateway(tmp_path, text, workers=1) as hub:
            again = Browser(Door(hub.port))
            again.cookies = dict(browser.cookies)
            assert (await again.ask("/")).body == b"pong"
        assert at.asked.count("/token") == 1
        assert SECRET not in shown
