"""A real `rotel` collector that takes OTLP and sends it on to an endpoint of the test's."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from tests.ports import free_port


@dataclass(frozen=True)
class Rotel:
    grpc: str  # endpoints as they are written in [export] otlp
    http: str


def binary() -> Path:
    """The collector's program; skips the test if it is not installed."""
    found = importlib.util.find_spec("rotel")
    if found is None or found.origin is None:
        pytest.skip("rotel is not installed: pip install rotel")
    path = Path(found.origin).parent / "rotel-agent"
    if not os.access(path, os.X_OK):
        pytest.skip(f"{path} cannot be run on this machine")
    return path


@asynccontextmanager
async def rotel(
    folder: Path, forward_to: str, protocol: Literal["grpc", "http"] = "http"
) -> AsyncIterator[Rotel]:
    """A running collector whose three signals go to the base URL `forward_to` by `protocol`."""
    for _ in range(3):  # somebody else may take a port between our asking and rotel's binding
        grpc, http = free_port(), free_port()
        process = await asyncio.create_subprocess_exec(
            str(binary()),
            "start",
            f"--pid-file={folder / 'rotel.pid'}",
            f"--log-file={folder / 'rotel.log'}",
            f"--otlp-grpc-endpoint=127.0.0.1:{grpc}",
            f"--otlp-http-endpoint=127.0.0.1:{http}",
            "--exporter=otlp",
            f"--otlp-exporter-protocol={protocol}",
            f"--otlp-exporter-endpoint={forward_to}",
            "--batch-timeout=20ms",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        if await _listens(process, grpc) and await _listens(process, http):
            break
    else:
        pytest.fail("rotel does not start")
    try:
        yield Rotel(f"grpc://127.0.0.1:{grpc}", f"http://127.0.0.1:{http}")
    finally:
        process.kill()
        await process.wait()


async def _listens(process: asyncio.subprocess.Process, port: int) -> bool:
    async with asyncio.timeout(20):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)  # nothing else tells that another process listens
                continue
            writer.close()
            return True
    return False
