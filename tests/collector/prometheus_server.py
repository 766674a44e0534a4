"""A real Prometheus on a free port, which scrapes and writes where the test says."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.ports import free_port

CONFIG = """
global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}
scrape_configs:
  - job_name: ours
    honor_labels: true
    static_configs: [{{ targets: ["127.0.0.1:{scraped}"] }}]
remote_write:
  - url: http://127.0.0.1:{written}/api/v1/write
    send_native_histograms: true
    queue_config: {{ batch_send_deadline: 100ms, min_backoff: 30ms }}
    metadata_config: {{ send: true, send_interval: 200ms }}
"""


class Prometheus:
    """One that runs."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self.port = port
        self._session = session

    async def query(self, text: str) -> dict[tuple[tuple[str, str], ...], float]:
        """{labels: value} of an instant query."""
        url = f"http://127.0.0.1:{self.port}/api/v1/query"
        async with self._session.get(url, params={"query": text}) as answer:
            body = json.loads(await answer.read())
        assert body["status"] == "success", body
        return {
            tuple(sorted(row["metric"].items())): float(row["value"][1])
            for row in body["data"]["result"]
        }

    async def wait(self, text: str, check: Callable[[list[float]], bool] = bool) -> list[float]:
        """The values of a query, once they are as wished."""
        found: list[float] = []
        try:
            async with asyncio.timeout(20):
                while not check(found := list((await self.query(text)).values())):
                    await asyncio.sleep(0.05)  # nothing else tells when it has scraped
        except TimeoutError:
            pytest.fail(f"{text} is {found}")
        return found


@asynccontextmanager
async def prometheus(
    folder: Path, scraped: int = 0, written: int = 0, text: str = ""
) -> AsyncIterator[Prometheus]:
    """Scrapes the port `scraped`, and writes to the port `written` by remote write 1.0; or does
    what the configuration `text` says."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    config = folder / "prometheus.yml"
    config.write_text(text or CONFIG.format(scraped=scraped, written=written))
    for _ in range(3):  # somebody else may take the port between our asking and its binding
        port = free_port()
        process = await asyncio.create_subprocess_exec(
            binary,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-remote-write-receiver",
            "--enable-feature=exemplar-storage,native-histograms",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with aiohttp.ClientSession() as session:
            try:
                if await _ready(process, session, port, folder):
                    yield Prometheus(port, session)
                    return
            finally:
                if process.returncode is None:
                    process.kill()
                await process.wait()
    pytest.fail("prometheus does not start")


async def _ready(process: Any, session: aiohttp.ClientSession, port: int, folder: Path) -> bool:
    """False if it has ended; who answers meanwhile may be another one that has the port."""
    async with asyncio.timeout(20):
        while process.returncode is None:
            try:
                async with session.get(f"http://127.0.0.1:{port}/api/v1/status/flags") as answer:
                    if answer.status == 200 and str(folder) in await answer.text():
                        return True
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)  # nothing else tells that another process listens
    return False
