"""`run` and `sidecar` are read without click, and as click reads them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import cli, start

WORDS = """
    run sidecar check a.toml b.toml - -- --workers 2 0 -1 x --app 8000 --name orders --redirect
    --help -h --workers=2 --name=orders --app= --nam --tls-keylog
"""


def by_click(words: Sequence[str]) -> dict[str, Any] | None:
    """The arguments that click finds; None = it refuses, or has an option for itself."""
    command = cli.main.commands[words[0]]
    try:
        with command.make_context(words[0], list(words[1:])) as context:
            return {name: value for name, value in context.params.items() if value is not None}
    except (click.ClickException, click.exceptions.Exit):
        return None


def by_hand(words: Sequence[str]) -> dict[str, Any] | None:
    """The same of what is read here, and None where click is to read it."""
    found = start.read(words)
    if found is None:
        return None
    assert isinstance(found, partial)
    said = dict(found.keywords)
    if words[0] == "run":
        workers = {"workers": int(said["workers"])} if "workers" in said else {}
        return {"file": start.DEFAULT_FILE, **said, **workers}
    return {"file": "", "redirect": False, **said}


@pytest.mark.parametrize(
    "line",
    [
        "run",
        "run routes.toml",
        "run --workers 2",
        "run a.toml --workers 16",
        "run --workers 1 a.toml --workers 2",
        "run -- a.toml",
        "run --workers 0",
        "run --workers -1",
        f"run --workers {'9' * 5000}",
        "run --workers",
        "run --workers=2 a.toml",
        "run a.toml b.toml",
        "run --redirect",
        "run --tls-keylog keys",
        "run --help",
        "sidecar",
        "sidecar a.toml",
        "sidecar --app 8000 --name orders",
        "sidecar --app 127.0.0.1:8000 a.toml --redirect",
        "sidecar --app",
        "sidecar --workers 2",
    ],
)
def test_both_read_a_line_alike(line: str) -> None:
    words = line.split()
    found = by_hand(words)
    assert found is None or found == by_click(words)


@pytest.mark.parametrize(
    "line",
    [
        "run",
        "run a.toml",
        "run a.toml --workers 4",
        "sidecar a.toml",
        "sidecar --app 8000 --name orders",
        "sidecar --redirect a.toml",
    ],
)
def test_what_is_usual_needs_no_click(line: str) -> None:
    assert start.read(line.split()) is not None


@given(st.sampled_from(["run", "sidecar"]), st.lists(st.sampled_from(WORDS.split()), max_size=5))
def test_whatever_is_read_here_click_reads_alike(command: str, rest: list[str]) -> None:
    words = [command, *rest]
    found = by_hand(words)
    assert found is None or found == by_click(words)


@pytest.mark.parametrize("words", [[], ["check"], ["--help"], ["--version"], ["runs"]])
def test_other_commands_are_clicks(words: list[str]) -> None:
    assert start.read(words) is None


@pytest.mark.parametrize("command", ["run", "sidecar"])
def test_a_mistake_in_the_file_is_told_and_no_command_line_was_loaded(
    command: str, tmp_path: Path
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text("[mesh]\nnames = 'orders'\n")
    words = [sys.executable, "-X", "importtime", "-m", "proxy", command, str(file)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines()}
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "names: unknown key" in ran.stderr.replace("mesh.", "")
    assert "proxy.hub.main" in loaded
    assert not loaded & {"click", "proxy.cli", "proxy.terminal.commands"}
