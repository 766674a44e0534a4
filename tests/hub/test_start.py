"""What a gateway says of itself before it serves: not ready, or why it cannot start."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.hub.gateway import FAKE, MINIMAL, Gateway, fetch, until
from tests.ports import free_port

ROUTE = '[[route]]\nname = "{0}"\npath = "/x"\nrespond = {{ status = 204 }}\n'


def start(folder: Path, route: str, admin: int = 0) -> Gateway:
    file = folder / "routes.toml"
    text = MINIMAL.format(more=ROUTE.format(route))
    ports = 'listen = "127.0.0.1:0"'
    file.write_text(text.replace(f"[admin]\n{ports}", f'[admin]\nlisten = "127.0.0.1:{admin}"'))
    return Gateway(file, 2, FAKE, subprocess.DEVNULL)


def test_a_first_configuration_that_a_worker_refuses_ends_the_start(tmp_path: Path) -> None:
    hub = start(tmp_path, "refuse-2")
    try:
        assert hub.ended() == 1
        hub.wait_for_line("worker 2 refused the configuration: it is not to my taste")
    finally:
        hub.close()


def test_ready_says_no_until_every_worker_accepts(tmp_path: Path) -> None:
    """Worker 2 never answers, so the gateway never comes to be ready."""
    admin = free_port()
    hub = start(tmp_path, "silent-2", admin)
    try:
        status, _, body = until(lambda: answer(admin))
        assert (status, body) == (503, b"not ready: starting\n")
        assert not any("ready:" in line for line in hub.lines)
    finally:
        hub.close()


def answer(port: int) -> tuple[int, dict[str, str], bytes] | None:
    try:
        return fetch(port, "/ready")
    except OSError:
        return None
