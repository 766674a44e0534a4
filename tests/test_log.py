"""What processes say on stderr: text on a terminal, a line of JSON elsewhere."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxy.log import Lines, is_json
from tests.hub.gateway import DEADLINE, MINIMAL, fetch, gateway, until

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
    folder: Path,
    stderr: int = subprocess.PIPE,
    stdout: int = subprocess.DEVNULL,
    **environ: str,
) -> Iterator[subprocess.Popen[str]]:
    file = folder / "routes.toml"
    file.write_text(FILE)
    command = [sys.executable, "-m", "proxy", "run", str(file)]
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    env = {**kept, **environ}
    with subprocess.Popen(command, stderr=stderr, stdout=stdout, text=True, env=env) as process:
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
    assert list(ready) == ["time", "level", "process", "key", "message"]
    assert ready["key"] == "gateway.ready"
    assert " ready: http on 127.0.0.1:" in ready["message"]
    assert ready["time"].endswith("Z")
    assert {line["level"] for line in told} == {"error"}
    assert any("lissten" in line["message"] for line in told)
    assert told[-1]["message"] == "reload failed: the configuration in force stays"
    assert told[-1]["key"] == "reload.failed"
    assert {line["key"] for line in told[:-1]} == {"reload.problem"}
    assert all(json.loads(line) for line in rest.splitlines())


def test_on_a_terminal_it_is_text(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    with running(tmp_path, stderr=theirs) as process, open(ours, "rb", buffering=0) as terminal:
        os.close(theirs)
        line = terminal.read(4096)
        process.terminate()
        process.wait(DEADLINE)
    assert b" INFO    spangate " in line and b" ready: http on 127.0.0.1:" in line


def asked_for(process: subprocess.Popen[str], path: str) -> None:
    """Wait until it is ready, and ask it for that path."""
    assert process.stderr is not None
    line = process.stderr.readline()
    port = re.search(r"http on 127\.0\.0\.1:(\d+)", line)
    assert port, line
    assert fetch(int(port[1]), path)[0] == 204


def test_in_a_container_each_request_is_an_object_on_stdout(tmp_path: Path) -> None:
    with running(tmp_path, stdout=subprocess.PIPE) as process:
        asked_for(process, "/a%C2%9Bb?c=1")
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
    assert line.isascii() and line[:-1].isprintable()
    told = json.loads(line)
    assert (told["method"], told["query"], told["status"]) == ("GET", "c=1", 204)


@pytest.mark.parametrize(
    ("environ", "painted"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_on_a_terminal_requests_are_coloured(
    tmp_path: Path, environ: dict[str, str], painted: bool
) -> None:
    ours, theirs = os.openpty()
    with (
        running(tmp_path, stdout=theirs, **environ) as process,
        open(ours, "rb", buffering=0) as terminal,
    ):
        os.close(theirs)
        asked_for(process, "/a%C2%9Bb?c=1")
        line = b""
        while not line.endswith(b"\r\n"):
            line += terminal.read(4096)
        process.terminate()
        process.wait(DEADLINE)
    assert (b"\x1b[32m204\x1b[0m" in line) is painted
    plain = re.sub(rb"\x1b\[[\d;]+m", b"", line[:-2]).decode()
    assert plain.isprintable()
    assert re.search(r"  204  GET  127\.0\.0\.1/a\S+\?c=1  [\d.]+ ms  \S+  [0-9a-f]{8}$", plain)


def record(level: int, message: str, **more: str) -> logging.LogRecord:
    made = logging.LogRecord("spangate", level, "", 0, message, (), None)
    vars(made).update(more)
    return made


def test_colours_of_our_own_log() -> None:
    lines = Lines("hub")
    lines.colour = True
    told = lines.format(record(logging.ERROR, "it \x1b[2Jfailed", key="it.failed"))
    assert re.fullmatch(
        r"\x1b\[2m[\d-]+ [\d:.]+\x1b\[0m \x1b\[31mERROR  \x1b\[0m it \\x1b\[2Jfailed"
        r"  \x1b\[2mit\.failed\x1b\[0m",
        told,
    )
    assert "\x1b[33mWARNING\x1b[0m" in lines.format(record(logging.WARNING, "", key="a.b"))
    assert "\x1b[0m INFO    said" in lines.format(record(logging.INFO, "said", key="a.b"))
    lines.colour = False
    assert "it.failed" not in lines.format(record(logging.ERROR, "x", key="it.failed"))


def test_what_a_library_says_has_its_name_for_a_key() -> None:
    lines = Lines("hub")
    lines.json = True
    made = record(logging.WARNING, "slow")
    made.name = "asyncio"
    assert json.loads(lines.format(made))["key"] == "library.asyncio"


def test_the_file_sets_form_and_level_also_at_a_reload(tmp_path: Path) -> None:
    with gateway(tmp_path, MINIMAL.format(more='[log]\nformat = "text"\n')) as hub:
        first = hub.lines[0]
        hub.rewrite(MINIMAL.format(more='[log]\nlevel = "error"\n'))
        until(lambda: hub.stats()["reloads"]["succeeded"] == 1)
        hub.rewrite("lissten = 1")
        hub.wait_for_line("lissten")
    assert re.match(r"[-\d]{10} [:.\d]{12} INFO    spangate \S+ ready", first)
    assert not [line for line in hub.lines if line.startswith("reloaded")]
