"""`check --json` and `explain --json`, and the completion of shells."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from proxy import __version__
from proxy.cli import main

GOOD = '[[route]]\nname = "a"\npath = "/a/*"\nto = "http://127.0.0.1:1"\n'
HIDDEN = GOOD + '[[route]]\npath = "/a/b/*"\nwhen = { method = "GET" }\nrespond = {}\n'
SHADOWED = GOOD + '[[route]]\nname = "b"\npath = "/a/*"\nwhen = { method = "GET" }\nrespond = {}\n'
TWICE = GOOD + GOOD.replace('"a"', '"b"')


def told(folder: Path, text: str, *words: str) -> tuple[int, Any]:
    file = folder / "gate.toml"
    file.write_text(text)
    spoken = [str(file) if word == "FILE" else word for word in words]
    result = CliRunner().invoke(main, spoken)
    return result.exit_code, json.loads(result.stdout)


def test_check_tells_what_is_wrong(tmp_path: Path) -> None:
    code, found = told(
        tmp_path, 'workers = 0\n[[route]]\ntimout = "2s"\n', "check", "FILE", "--json"
    )
    assert code == 1 and found["ok"] is False
    assert found["counts"] == {"errors": len(found["problems"]), "warnings": 0}
    file = str(tmp_path / "gate.toml")
    assert {
        "file": file, "line": 3, "key": "route[0].timout", "message": "unknown key",
        "remedy": "did you mean `timeout`?", "severity": "error",
    } in found["problems"]  # fmt: skip


def test_check_of_a_file_without_mistakes(tmp_path: Path) -> None:
    assert told(tmp_path, GOOD, "check", "FILE", "--json") == (
        0,
        {
            "ok": True,
            "problems": [],
            "counts": {"routes": 1, "upstreams": 1, "errors": 0, "warnings": 0},
        },
    )


def test_warnings_count_when_it_is_strict(tmp_path: Path) -> None:
    code, found = told(tmp_path, TWICE, "check", "FILE", "--json")
    assert (code, found["ok"], found["counts"]["warnings"]) == (0, True, 1)
    assert found["problems"][0]["severity"] == "warning" and found["problems"][0]["line"] > 4
    code, found = told(tmp_path, TWICE, "check", "FILE", "--json", "--strict")
    assert (code, found["ok"]) == (1, False)


@pytest.mark.parametrize(("url", "code"), [("/a/x", 0), ("/none", 1), ("/../x", 1)])
def test_explain_is_the_same_lines(tmp_path: Path, url: str, code: int) -> None:
    ended, found = told(tmp_path, GOOD, "explain", "FILE", url, "--json")
    plain = CliRunner().invoke(main, ["explain", str(tmp_path / "gate.toml"), url])
    assert (ended, found["taken"], found["problems"]) == (code, code == 0, [])
    assert "\n".join(found["lines"]) + "\n" == plain.output


def test_explain_of_a_file_that_is_wrong(tmp_path: Path) -> None:
    code, found = told(tmp_path, "lissten = 1", "explain", "FILE", "/", "--json")
    assert (code, found["taken"], found["lines"]) == (1, False, [])
    assert "lissten" in [problem["key"] for problem in found["problems"]]


def test_the_version_is_told() -> None:
    assert CliRunner().invoke(main, ["--version"]).output == f"spangate {__version__}\n"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [("spangate ta", "tap"), ("spangate tap --sta", "--status"), ("spangate top --sort p", "p99")],
)
def test_bash_completes_what_is_typed(tmp_path: Path, typed: str, offered: str) -> None:
    """As docs/terminal.md says; bash asks the function for COMPREPLY."""
    command = tmp_path / "spangate"
    command.write_text(f"#!{sys.executable}\nfrom proxy.cli import main\nmain()\n")
    command.chmod(0o755)
    words = typed.split()
    script = f"""
eval "$(_SPANGATE_COMPLETE=bash_source spangate)"
COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}
_spangate_completion spangate {words[-1]} {words[-2]}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(
        ["bash", "--norc", "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert offered in ran.stdout.split(), ran.stderr
