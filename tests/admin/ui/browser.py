"""One visit of a real browser for all tests of a file: a script looks at scenes, tests at these."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

VISITOR = Path(__file__).parents[2] / "peers" / "browser"
CHROMIUM = shutil.which("chromium")


def needed(patience: float) -> list[pytest.MarkDecorator]:
    """Marks of a file whose visit may take so many seconds."""
    return [
        pytest.mark.skipif(
            CHROMIUM is None
            or shutil.which("node") is None
            or not (VISITOR / "node_modules" / "axe-core").is_dir(),
            reason="needs chromium, node, and `npm ci` in tests/peers/browser",
        ),
        pytest.mark.timeout(patience + 30),
    ]


def seen(
    factory: pytest.TempPathFactory, name: str, visit: Callable[[], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    """By scene what was seen; of several processes with tests of that file, one has visited."""
    folder = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    file = folder / f"{name}.json"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            file.write_text(json.dumps(asyncio.run(_awaited(visit))))
    return dict(json.loads(file.read_text()))


async def visited(script: str, patience: float, *arguments: str) -> dict[str, Any]:
    """What that script has printed within so many seconds."""
    process = await asyncio.create_subprocess_exec(
        "node", str(VISITOR / script), str(CHROMIUM), *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, told = await asyncio.wait_for(process.communicate(), patience)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, told.decode()
    return dict(json.loads(out))


def scene(scenes: dict[str, Any], name: str) -> dict[str, Any]:
    """What was seen in it; a scene that broke off or a red line of the console is a failure."""
    found: dict[str, Any] = scenes[name]
    assert "failure" not in found, found["failure"]
    assert found.get("problems", []) == []
    return found


async def _awaited(visit: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    return await visit()
