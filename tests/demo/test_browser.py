"""The demo in a real browser: an event stream and a WebSocket on one page."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.test_demo import Demo, close

VISITOR = Path(__file__).parents[1] / "peers" / "browser"
CHROMIUM = shutil.which("chromium")
PATIENCE = 90.0  # seconds; a browser is slow to start beside other tests

pytestmark = pytest.mark.skipif(
    CHROMIUM is None or shutil.which("node") is None or not (VISITOR / "node_modules").is_dir(),
    reason="needs chromium, node, and `npm ci` in tests/peers/browser",
)


@pytest.fixture
def demo() -> Iterator[Demo]:
    running = Demo()
    yield running
    close(running)


def test_a_browser_sees_everything_on_the_page(demo: Demo) -> None:
    url = demo.wait_for(r"gateway +(http://localhost:\d+)")[1]
    demo.wait_for("Ctrl-C ends everything")
    seen = json.loads(visit(f"{url}/shop/"))
    assert seen["problems"] == []
    assert seen["protocol"] == "http/1.1"
    assert seen["event"].startswith("order ")


def visit(url: str) -> str:
    """What the visitor prints of that page."""
    command = ["node", str(VISITOR / "visit.mjs"), str(CHROMIUM), url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
