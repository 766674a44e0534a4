"""Shop, orders, payments, stock and warehouse: ordinary services that know nothing of tracing.

A shop page asks orders, which asks payments, or stock, which asks warehouse, each by way of the
gateway. All that they do for tracing is what any service behind a gateway must: hand on the trace
headers of the request that they serve. Three of them are not well, each in a way of its own:
payments fails at times (order 13) and hangs (order 99), orders cannot find one order (66), and
stock breaks every trace, since it hands nothing on but the id that its own log is full of.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

from proxy.demo import live

PORTS = {
    "shop": 8001, "orders": 8002, "payments": 8003, "stock": 8004, "warehouse": 8005,
}  # fmt: skip
HANDED_ON = (
    "traceparent", "tracestate", "baggage", "x-request-id",
    "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags",
)  # fmt: skip

FORGETFUL = ("x-request-id",)  # what stock hands on

UNLUCKY = "13"  # every other try of it fails
ENDLESS = "99"  # it takes longer than anybody waits
LOST = "66"  # orders fails for it, always


class Services:
    """All of them, in this process. What they ask each other waits until the gateway is known."""

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
        for name, port in PORTS.items():
            app = web.Application()
            self._add(app, name)
            runner = web.AppRunner(app, access_log=None, handle_signals=False)
            await runner.setup()
            self._runners.append(runner)
            sock = _listen(port)
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

    def _add(self, app: web.Application, name: str) -> None:
        if name == "shop":
            app.router.add_get("/orders/{id}", self._shop)
            app.router.add_get("/stock/{id}", self._shop)
            live.add(app)
        else:
            handlers = {
                "orders": self._orders, "payments": self._payments, "stock": self._stock,
                "warehouse": self._warehouse,
            }  # fmt: skip
            app.router.add_get(f"/{name}/{{id}}", handlers[name])

    async def _shop(self, request: web.Request) -> web.Response:
        """Orders and stock, each from the service of that name."""
        await asyncio.sleep(0.004)
        status, found = await self._ask(request.path, request.headers)
        if status != 200:
            return _json({"sorry": "not today"}, status=502)
        await asyncio.sleep(0.002)
        return _json({"shop": "Teapots & Sons", **found})

    async def _orders(self, request: web.Request) -> web.Response:
        number = request.match_info["id"]
        await asyncio.sleep(0.012)
        if number == LOST:
            return _json({"sorry": "this order is lost"}, status=500)
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

    async def _stock(self, request: web.Request) -> web.Response:
        await asyncio.sleep(0.006)
        path = f"/warehouse/{request.match_info['id']}"
        status, shelf = await self._ask(path, request.headers, FORGETFUL)
        return _json({"item": "teapot", "shelf": shelf["shelf"] if status == 200 else "unknown"})

    async def _warehouse(self, request: web.Request) -> web.Response:
        await asyncio.sleep(0.015)
        return _json({"shelf": f"aisle {request.match_info['id']}"})

    async def _ask(
        self, path: str, received: Mapping[str, str], handed_on: tuple[str, ...] = HANDED_ON
    ) -> tuple[int, dict[str, str]]:
        """(status, body) of another service, which is asked on behalf of `received`."""
        assert self._client is not None
        headers = {name: received[name] for name in handed_on if name in received}
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
