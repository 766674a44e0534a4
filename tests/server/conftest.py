"""The data plane is tested on the loop that it runs on; SPANGATE_LOOP=asyncio takes the other."""

import asyncio
import os
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if os.environ.get("SPANGATE_LOOP") == "asyncio":
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}
