"""Shop, orders and payments: ordinary web services that know nothing of tracing.

A shop page asks orders, orders asks payments, each by way of the gateway. All that they do for
tracing is what any service behind a gateway must: hand on the trace headers of the request that
they serve. One of them is not well: payments fails at times (order 13) and hangs (order 99).
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

from proxy.demo import live

PORTS = {"shop": 8001, "orders": 8002, "payments": 8003}  # as in routes.toml
HANDED_ON = (
    "traceparent", "tracestate", "baggage", "x-request-id",
    "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags",
)  # fmt: skip

UNLUCKY = "13"  # every other try of it fails
ENDLESS = "99"  # it takes longer than anybody waits


class Services:
    """The three, in this process. What they ask each other waits until the gateway is known."""

    def __init__(self) -> None:
        self._gateway: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.ports: dict[str, int] = {}
        self._runners: list[web.AppRunner] = []
        self._failed: set[str] = set()
        self._client: ClientSession | None = None

    async def start(self) -> None:
        """Listen on the ports of routes.toml, or on others where those are taken."""
        # No connection is kept, so that none is in the way when the gateway is told to stop; it is
        # on this machine, whatever its certificate.
        connector = TCPConnector(force_close=True, ssl=False)
        self._client = ClientSession(connector=connector, timeout=ClientTimeout(total=10))
        handlers = {"shop": self._shop, "orders": self._orders, "payments": self._payments}
        for name, handler in handlers.items():
            path = "/payments/{id}" if name == "payments" else "/orders/{id}"
            app = web.Application()
            app.router.add_get(path, handler)
            if name == "shop":
                live.add(app)
            runner = web.AppRunner(app, access_log=None, handle_signals=False)
            await runner.setup()
            self._runners.append(runner)
            sock = _listen(PORTS[name])
            self.ports[name] = sock.getsockname()[1]
            await web.SockSite(runner, sock).start()

    def reach(self, gateway: str) -> None:
        """`gateway` is the URL that they call; requests may have come through it already."""
        self._gateway.set_result(gateway)

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        if self._client is not None:
            await self._client.close()

    async def _shop(self, request: web.Request) -> web.Response:
        await asyncio.sleep(0.004)
        status, order = await self._ask(f"/orders/{request.match_info['id']}", request.headers)
        if status != 200:
            return _json({"sorry": "no orders today"}, status=502)
        await asyncio.sleep(0.002)
        return _json({"shop": "Teapots & Sons", **order})

    async def _orders(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        await asyncio.sleep(0.012)
        status, payment = await self._ask(f"/payments/{number}", request.headers)
        # An order can be shown without its payment: the client need not suffer, the trace tells.
        paid = payment["payment"] if status == 200 else "unknown"
        return _json({"order": number, "item": "teapot", "payment": paid})

    async def _payments(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        await asyncio.sleep(5 if number == ENDLESS else 0.02)
        if number == UNLUCKY and number not in self._failed:
            self._failed.add(number)
            return _json({"sorry": "try again"}, status=503)
        self._failed.discard(number)
        return _json({"payment": "received"})

    async def _ask(self, path: str, received: Mapping[str, str]) -> tuple[int, dict[str, str]]:
        """(status, body) of another service, which is asked on behalf of `received`."""
        assert self._client is not None
        headers = {name: received[name] for name in HANDED_ON if name in received}
        gateway = await asyncio.shield(self._gateway)  # whoever gives up must not cancel it for all
        try:
            async with self._client.get(gateway + path, headers=headers) as response:
                return response.status, await response.json(content_type=None)
        except (ClientError, TimeoutError, ValueError):
            return 502, {}


def _json(body: dict[str, str], status: int = 200) -> web.Response:
    """With a newline at its end, for whoever reads it in a terminal."""
    return web.json_response(text=json.dumps(body) + "\n", status=status)


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))
