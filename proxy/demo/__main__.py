"""`make run`, `spangate demo`: start everything, tell where to look, show traces as they come.

The services run in this process, the gateway in others. Everything goes to stdout. PORT,
HTTPS_PORT and ADMIN_PORT choose other ports than 8080, 8443 and 9901; where PORT is said and
HTTPS_PORT is not, HTTPS takes any that is free. LOAD is requests a second that it makes by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from proxy.demo import EXAMPLE, load
from proxy.demo.buttons import to_environment
from proxy.demo.compiled import follow
from proxy.demo.gateway import Gateway, Places
from proxy.demo.services import ENDLESS, UNLUCKY, Services
from proxy.tasks import cancel, spawn

ABOUT = """\
{pages}Shop calls orders, orders calls payments, each call through the gateway. Type elsewhere:

  curl {http}/shop/orders/42
      six spans: into the gateway and out of it, for each of three services
  curl {http}/shop/orders/{unlucky}
      payments fails at first, and the gateway tries again: one span more
  curl {http}/shop/orders/{endless}
      payments hangs: cut off after a second, and the trace shows where
  curl {http}/shop/stock/42
      stock calls warehouse and forgets the trace: what was one request is two traces
{by_https}{metrics}
  gateway   {gateway}
  admin     {admin}
  services  {services}
  routes    {file}
            edit it, then: kill -HUP {pid}
  shop      {page}/shop/
            in a browser, with an event stream and a WebSocket

{traces} Ctrl-C ends everything."""

PAGES = """
  Open this:  {strong}{admin}/ui/{plain}

"""

BY_HTTPS = """\
  curl -k {https}/shop/orders/42
      the same by HTTP/2; -k, because the certificate was made just now
"""

METRICS = """\
  curl {admin}/metrics
      what was counted
"""

TRACES = "Traces appear here too, a second after their request."
TRACES_UNDER_LOAD = "{rate:g} requests a second are made; their traces are on the pages alone."

NOT_STARTED = """
The gateway has not started; the reason is above. Where a port is taken, put other ones before
the command: PORT=8090 HTTPS_PORT=8453 ADMIN_PORT=9911
"""


async def run(file: Path, rate: float = 0.0) -> int:
    """Until a signal comes or the gateway ends; returns the exit code."""
    services = Services()
    show = load.WithoutTrees(_show) if rate else _show
    gateway = Gateway(show, terminal=sys.stdout.isatty())
    asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, _stop, gateway, asked)
    try:
        await services.start()
        gateway.start(str(file), _addresses(services) | to_environment())
        await _first(gateway.ready, gateway.ended, asked)
        if gateway.ready.done() and not asked.done():
            places = gateway.ready.result()
            reached = places.first.replace("//localhost", "//127.0.0.1")
            services.reach(reached)
            running = [spawn(follow(places.admin, _show), "follow the compiler")]
            if rate:
                running.append(spawn(load.run(reached, rate), "load"))
            _show(_about(places, services, file, gateway.pid, rate))
            await _first(gateway.ended, asked)
            await cancel(*running)
        if asked.done():
            gateway.stop()
        code = await gateway.ended
    finally:
        gateway.kill()
        await services.stop()
    if not asked.done():
        _show("The gateway has ended." if gateway.ready.done() else NOT_STARTED)
        return code or 1
    _show("Stopped.")
    return code


def _stop(gateway: Gateway, asked: asyncio.Future[None]) -> None:
    if asked.done():
        gateway.stop()  # the second time: at once
    else:
        _show("\nStopping …")
        asked.set_result(None)


async def _first(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


def _addresses(services: Services) -> dict[str, str]:
    """What routes.toml reads from the environment."""
    found = {n.upper(): f"http://127.0.0.1:{port}" for n, port in services.ports.items()}
    if "PORT" in os.environ and "HTTPS_PORT" not in os.environ:
        found["HTTPS_PORT"] = "0"  # who moves one gateway out of another's way moves all of it
    return found


def _about(places: Places, services: Services, file: Path, pid: int, rate: float) -> str:
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    strong, plain = ("\x1b[1m", "\x1b[0m") if coloured else ("", "")
    shown = {"admin": places.admin, "strong": strong, "plain": plain}
    return ABOUT.format(
        pages=PAGES.format(**shown) if places.admin else "",
        metrics=METRICS.format(**shown) if places.admin else "",
        traces=TRACES_UNDER_LOAD.format(rate=rate) if rate else TRACES,
        http=places.first,
        gateway=places.first + (f", {places.https}" if places.https else ""),
        by_https=BY_HTTPS.format(https=places.https) if places.https else "",
        page=places.https or places.first,
        admin=places.admin or "off",
        services=", ".join(f"{name} :{port}" for name, port in services.ports.items()),
        file=os.path.relpath(file),
        pid=pid,
        unlucky=UNLUCKY,
        endless=ENDLESS,
    )


def _show(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:  # `make run | head`: nobody reads on, so there is nothing to show
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        signal.raise_signal(signal.SIGTERM)


def main(file: str = "", rate: float | None = None) -> int:
    """`rate` is requests a second that the demo makes; without one, LOAD says."""
    try:
        checked = _rate(os.environ.get("LOAD", "") or "0" if rate is None else str(rate))
    except ValueError as error:
        _show(str(error))
        return 2
    return asyncio.run(run(Path(file) if file else EXAMPLE.resolve(), checked))


def _rate(said: str) -> float:
    """Raises ValueError with the remedy."""
    with contextlib.suppress(ValueError):
        if 0 <= (rate := float(said)) <= load.MOST:
            return rate
    raise ValueError(f"load {said!r}: say requests a second, 0 to {load.MOST:g}, as in LOAD=5")


if __name__ == "__main__":
    sys.exit(main("".join(sys.argv[1:2])))
