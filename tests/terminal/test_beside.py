"""What `spangate mesh run` learns of the sidecar beside it, before its command begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.kernel.scan import SCANS
from proxy.terminal.beside import PATH, how_redirected
from proxy.terminal.client import Gateway, address
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


def asked(listen: str, outbound: int) -> str | None:
    return how_redirected(Gateway(address(listen)), outbound)


@pytest.mark.parametrize("redirect", ["nft", "none", "ebpf"])
def test_a_running_sidecar_is_asked_how_it_is_redirected(tmp_path: Path, redirect: str) -> None:
    with gateway(tmp_path, SIDECAR.format(admin=0, redirect=redirect), workers=1) as hub:
        for listen in (f"127.0.0.1:{hub.admin}", f":{hub.admin}", f"0.0.0.0:{hub.admin}"):
            assert asked(listen, 0) == redirect
        said, all_of_it = (json.loads(hub.ask(path)[2]) for path in (PATH, "/mesh"))
        assert said.items() <= all_of_it.items()


@pytest.mark.skipif(not SCANS, reason="uncompiled, all heads are aiohttp's")
def test_the_question_costs_a_sidecar_no_memory(tmp_path: Path) -> None:
    """What it has loaded is seen by its compiled modules."""
    with gateway(tmp_path, SIDECAR.format(admin=0, redirect="ebpf"), workers=1) as hub:
        maps = Path(f"/proc/{hub.process.pid}/maps")
        assert asked(f"127.0.0.1:{hub.admin}", 0) == "ebpf"
        assert "/aiohttp/" not in maps.read_text()
        assert hub.ask("/mesh")[0] == 200
        assert "/aiohttp/" in maps.read_text()


@pytest.mark.parametrize("file", ["nft", "ebpf"])
def test_no_command_runs_beside_a_sidecar_that_loses_destinations(
    tmp_path: Path, file: str
) -> None:
    """Whatever the file says that this command was given: the sidecar may have another."""
    with admin() as told:
        told.answers[PATH] = (200, {**SAID, "redirect": "nft", "outbound": ":0"})
        port = told.url.rpartition(":")[2]
        given = tmp_path / "routes.toml"
        given.write_text(SIDECAR.format(admin=port, redirect=file))
        ran = tmp_path / "ran"
        words = ["mesh", "run", "--file", str(given), "--", "touch", str(ran)]
        done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert f'the sidecar with the admin port http://127.0.0.1:{port} has mesh.redirect = "nft"' in (
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
        (200, {"mesh": True, "mtls": "off"}),
        (200, {**SAID, "outbound": "127.0.0.1:5001"}),  # another's sidecar
        (200, {**SAID, "redirect": 7}),
        lambda port: port.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n"),
        lambda port: setattr(port, "close_connection", True),  # says nothing
    ],
)
def test_who_answers_otherwise_says_nothing_of_it(answer: Answer) -> None:
    with admin() as told:
        told.answers[PATH] = answer
        assert asked(told.url, 15001) is None


def test_it_is_asked_by_a_unix_socket_as_well(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with admin(path=path) as told:
        told.answers[PATH] = (200, SAID)
        assert asked(f"unix:{path}", 15001) == "ebpf"
    path.unlink(missing_ok=True)
    assert asked(f"unix:{path}", 15001) is None


@pytest.mark.parametrize("by", ["--admin", "SPANGATE_ADMIN"])
def test_where_its_admin_port_is_can_be_said(tmp_path: Path, by: str) -> None:
    given = tmp_path / "routes.toml"
    given.write_text(SIDECAR.format(admin=1, redirect="ebpf"))
    words, where = ["--file", str(given), "--", "true"], {}
    with admin() as told:
        told.answers[PATH] = (200, {**SAID, "redirect": "tproxy", "outbound": ":0"})
        if by == "--admin":
            words = [by, told.url, *words]
        else:
            where = {by: told.url}
        done = CliRunner().invoke(main, ["mesh", "run", *words], env=where)
    assert done.exit_code == 2
    assert f'{told.url} has mesh.redirect = "tproxy"' in done.output


def test_a_place_that_is_none_is_wrong_usage() -> None:
    done = CliRunner().invoke(main, ["mesh", "run", "true"], env={"SPANGATE_ADMIN": "https://x"})
    assert done.exit_code == 2
    assert "--admin" in done.output and "plain http" in done.output
