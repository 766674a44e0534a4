"""What `spangate mesh run` learns of the sidecar beside it, before its command begins."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.mesh.beside import how_redirected
from tests.hub.gateway import gateway
from tests.terminal.kit import Answer, admin

SIDECAR = """
[admin]
listen = "127.0.0.1:{admin}"
[mesh]
name = "orders"
inbound = "127.0.0.1:0"
outbound = "127.0.0.1:0"
app = "127.0.0.1:9"
redirect = "{redirect}"
[[route]]
path = "/*"
respond = {{ status = 200, body = "pong" }}
"""
SAID = {"mesh": True, "redirect": "ebpf", "outbound": "127.0.0.1:15001"}


@pytest.mark.parametrize("redirect", ["nft", "none", "ebpf"])
def test_a_running_sidecar_is_asked_how_it_is_redirected(tmp_path: Path, redirect: str) -> None:
    with gateway(tmp_path, SIDECAR.format(admin=0, redirect=redirect), workers=1) as hub:
        assert hub.ask("/mesh")[0] == 200  # whatever it imports for that is there from now on
        assert how_redirected(f"127.0.0.1:{hub.admin}", 0) == redirect
        assert how_redirected(f":{hub.admin}", 0) == redirect


@pytest.mark.parametrize("file", ["nft", "ebpf"])
def test_no_command_runs_beside_a_sidecar_that_loses_destinations(
    tmp_path: Path, file: str
) -> None:
    """Whatever the file says that this command was given: the sidecar may have another."""
    with admin() as told:
        told.answers["/mesh"] = (200, {**SAID, "redirect": "nft", "outbound": ":0"})
        port = told.url.rpartition(":")[2]
        given = tmp_path / "routes.toml"
        given.write_text(SIDECAR.format(admin=port, redirect=file))
        ran = tmp_path / "ran"
        words = ["mesh", "run", "--file", str(given), "--", "touch", str(ran)]
        done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert f'the sidecar with the admin port 127.0.0.1:{port} has mesh.redirect = "nft"' in (
        done.output
    )
    assert 'write redirect = "ebpf" into [mesh] of its file' in done.output
    assert not ran.exists()


@pytest.mark.parametrize(
    "answer",
    [
        (404, "404 Not Found\n"),
        (503, SAID),
        (200, "what is this?"),
        (200, "[" * 100_000),
        (200, []),
        (200, {"mesh": False}),
        (200, {"mesh": True, "mtls": "off"}),  # an older one
        (200, {**SAID, "outbound": "127.0.0.1:5001"}),  # another's sidecar
        (200, {**SAID, "redirect": 7}),
        lambda port: port.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n"),
        lambda port: setattr(port, "close_connection", True),  # says nothing
    ],
)
def test_who_answers_otherwise_says_nothing_of_it(answer: Answer) -> None:
    with admin() as told:
        told.answers["/mesh"] = answer
        assert how_redirected(told.url.removeprefix("http://"), 15001) is None


def test_it_is_asked_by_a_unix_socket_as_well(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with admin(path=path) as told:
        told.answers["/mesh"] = (200, SAID)
        assert how_redirected(f"unix:{path}", 15001) == "ebpf"
    path.unlink(missing_ok=True)
    assert how_redirected(f"unix:{path}", 15001) is None
    assert how_redirected("", 15001) is None
