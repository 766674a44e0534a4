"""What `spangate sidecar` says to whoever has typed it wrongly, and by which exit code."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

GATEWAY = '[[route]]\nto = "http://127.0.0.1:1"\n'
DEADLINE = 60.0
FILES = {
    "empty.toml": "",
    "gateway.toml": GATEWAY,
    "wrong.toml": GATEWAY + "tiemout = 3\n",
    "half.toml": "[mesh\n",
    "orders.toml": '[mesh]\nname = "orders"\napp = "x"\n',
    "ours.toml": '[mesh]\ninbound = ":1234"\nredirect = "nft"\n',
}
USAGE = "Usage: spangate sidecar [OPTIONS] [FILE]\n"


def sidecar(
    folder: Path, *words: str, by: Sequence[str] = (), stdin: str = "", **environ: str
) -> tuple[int, str]:
    """One that does not start: exit code, and what it says on stderr."""
    for name, text in FILES.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        [*by, sys.executable, "-m", "proxy", "sidecar", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.getcwd(), **environ},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


@pytest.mark.parametrize("file", ["empty.toml", "gateway.toml", "wrong.toml"])
def test_a_file_of_no_sidecar_is_wrong_usage(tmp_path: Path, file: str) -> None:
    """Whatever else is wrong with it."""
    code, told = sidecar(tmp_path, file)
    assert code == 2
    assert told.startswith(f"{USAGE}Error: {file} has no [mesh]")
    assert "no routes" not in told and "tiemout" not in told


@pytest.mark.parametrize("file", ["half.toml", "no-such.toml"])
def test_one_that_cannot_be_read_says_why(tmp_path: Path, file: str) -> None:
    code, told = sidecar(tmp_path, file)
    assert code == 1
    assert "[mesh]" not in told and ("Expected" in told or "cannot read it" in told)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--app", "x"], "--app"),
        (["--app=x"], "--app"),  # by click
        (["--app", "0"], "--app"),
        (["--app", "70000"], "--app"),
        (["--app", "10.0.0.1:x"], "--app"),
        (["--app", "example.com:80"], "--app"),
        (["--app", "15006"], "--app"),  # the sidecar's own
        (["--app", "1234", "ours.toml"], "--app"),
        (["--app", "x", "orders.toml"], "--app"),
        (["--app", ""], "--app"),
        (["--app", " "], "--app"),
        (["--app", "8000", "--name", "a\nb"], "--name"),
        (["--app", "8000", "--name", "\x1b[2J"], "--name"),
        (["--app", "8000", "--name", ""], "--name"),
    ],
)
def test_an_option_that_cannot_be_is_named_as_it_was_typed(
    tmp_path: Path, words: list[str], option: str
) -> None:
    code, told = sidecar(tmp_path, *words)
    assert code == 2
    assert f"Invalid value for '{option}': " in told
    assert "mesh." not in told and "<sidecar>" not in told and "\x1b" not in told


def test_what_the_environment_says_is_named_so(tmp_path: Path) -> None:
    code, told = sidecar(tmp_path, SPANGATE_APP="x")
    assert code == 1
    assert "SPANGATE_APP: 'x' is not an address" in told and "mesh.app" not in told


def test_a_file_s_own_mistakes_are_the_file_s(tmp_path: Path) -> None:
    code, told = sidecar(tmp_path, "--name", "orders", "orders.toml")
    assert code == 1
    assert "orders.toml:3: mesh.app: 'x' is not an address" in told


def test_its_file_cannot_come_through_a_pipe(tmp_path: Path) -> None:
    """It is read again, by the command for rules and at reloads."""
    code, told = sidecar(tmp_path, "-", stdin='[mesh]\nname = "orders"\nredirect = "nft"\n')
    assert code == 2
    assert told.startswith(USAGE) and "no routes" not in told and "read again" in told


@pytest.mark.parametrize("key", ["inbound", "outbound"])
def test_a_port_that_is_taken_is_named_by_its_key(tmp_path: Path, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {
            "inbound": '"127.0.0.1:0"',
            "outbound": '"127.0.0.1:0"',
            key: f'"127.0.0.1:{port}"',
        }
        lines = [f"{name} = {value}" for name, value in ports.items()]
        text = "\n".join(["[mesh]", 'redirect = "nft"', *lines])
        (tmp_path / "s.toml").write_text(f'{text}\n[admin]\nlisten = ""\n')
        code, told = sidecar(tmp_path, "s.toml")
    assert code == 1
    line = 3 if key == "inbound" else 4
    assert f"s.toml:{line}: mesh.{key}: cannot listen on 127.0.0.1:{port}: address" in told
    assert f"change `mesh.{key}`" in told


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
def test_tproxy_without_its_capability_says_which(tmp_path: Path) -> None:
    without = "-net_admin,-net_raw"
    by = ["setpriv", "--bounding-set", without, "--inh-caps", without] if not os.geteuid() else []
    text = '[mesh]\nredirect = "tproxy"\ninbound = "127.0.0.1:0"\noutbound = "127.0.0.1:0"\n'
    (tmp_path / "t.toml").write_text(text)
    code, told = sidecar(tmp_path, "t.toml", by=by)
    assert code == 1
    assert "mesh.inbound: cannot listen on 127.0.0.1:0" in told and "CAP_NET_ADMIN" in told
