"""The demo's services before and after they know the gateway that they call."""

from __future__ import annotations

import asyncio

from aiohttp import ClientSession

from proxy.demo.services import Services
from proxy.tasks import spawn


async def test_who_comes_before_the_gateway_is_known_waits_for_it() -> None:
    """Its workers serve a moment before it says that it is ready."""
    services = Services()
    await services.start()
    try:
        async with ClientSession() as client:
            url = f"http://127.0.0.1:{services.ports['orders']}/orders/42"
            early = spawn(client.get(url), "ask early")
            given_up = spawn(client.get(url), "give up")
            await asyncio.wait([early], timeout=0.1)
            assert not early.done()
            given_up.cancel()
            services.reach(f"http://127.0.0.1:{services.ports['payments']}")
            for response in (await early, await client.get(url)):
                assert (await response.json())["payment"] == "received"
    finally:
        await services.stop()
