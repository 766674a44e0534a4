"""What processes say on stderr: text on a terminal, a line of JSON elsewhere."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.log import is_json
from tests.hub.gateway import DEADLINE, MINIMAL, gateway, until

FILE = """
listen = "127.0.0.1:0"
workers = 1
[admin]
listen = ""
[[route]]
path = "/*"
respond = { status = 204 }
"""


@pytest.mark.parametrize(
    ("form", "terminal", "json_lines"),
    [
        ("auto", True, False),
        ("auto", False, True),
        ("text", True, False),
        ("text", False, False),
        ("json", True, True),
        ("json", False, True),
    ],
)
def test_form(form: str, terminal: bool, json_lines: bool) -> None:
    assert is_json(form, terminal=terminal) is json_lines  # type: ignore[arg-type]


@contextmanager
def running(
    folder: Path, more: str = "", stderr: int = subprocess.PIPE
) -> Iterator[subprocess.Popen[str]]:
    file = folder / "routes.toml"
    file.write_text(FILE)
    command = [sys.executable, "-m", "proxy", "run", str(file)]
    with subprocess.Popen(command, stderr=stderr, stdout=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_in_a_container_every_line_is_an_object(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        assert process.stderr is not None
        ready = json.loads(process.stderr.readline())
        (tmp_path / "routes.toml").write_text("lissten = 1")
        process.send_signal(signal.SIGHUP)
        told = [json.loads(process.stderr.readline())]
        while "reload failed" not in told[-1]["message"]:
            told.append(json.loads(process.stderr.readline()))
        process.terminate()
        rest = process.stderr.read()
    assert (ready["level"], ready["process"]) == ("info", "hub")
    assert " ready: http on 127.0.0.1:" in ready["message"]
    assert ready["time"].endswith("Z")
    assert {line["level"] for line in told} == {"error"}
    assert any("lissten" in line["message"] for line in told)
    assert told[-1]["message"] == "reload failed: the configuration in force stays"
    assert all(json.loads(line) for line in rest.splitlines())


def test_on_a_terminal_it_is_text(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    with running(tmp_path, stderr=theirs) as process, open(ours, "rb", buffering=0) as terminal:
        os.close(theirs)
        line = terminal.read(4096)
        process.terminate()
        process.wait(DEADLINE)
    assert b" INFO    spangate " in line and b" ready: http on 127.0.0.1:" in line


def test_the_file_sets_form_and_level_also_at_a_reload(tmp_path: Path) -> None:
    with gateway(tmp_path, MINIMAL.format(more='[log]\nformat = "text"\n')) as hub:
        first = hub.lines[0]
        hub.rewrite(MINIMAL.format(more='[log]\nlevel = "error"\n'))
        until(lambda: hub.stats()["reloads"]["succeeded"] == 1)
        hub.rewrite("lissten = 1")
        hub.wait_for_line("lissten")
    assert re.match(r"[-\d]{10} [:.\d]{12} INFO    spangate \S+ ready", first)
    assert not [line for line in hub.lines if line.startswith("reloaded")]
