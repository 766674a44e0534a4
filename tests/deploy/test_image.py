"""The recipe of the image: as its linter has it, and what it copies is enough to install from."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .tools import DEPLOY, ROOT, needs, run, tool

FILE = DEPLOY / "Containerfile"


def instructions() -> list[tuple[str, str]]:
    """Each instruction and what follows it, continued lines joined."""
    text = FILE.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines]


def last(name: str) -> str:
    return [rest for instruction, rest in instructions() if instruction == name][-1]


@needs("hadolint")
def test_its_linter_has_nothing_to_say() -> None:
    command = tool("hadolint")
    assert command
    assert run(command, str(FILE)) == ""


def test_it_runs_as_a_number_and_by_itself() -> None:
    """Kubernetes cannot tell whether a name is root's; a shell would not pass signals on."""
    user, _, group = last("USER").partition(":")
    assert user.isdigit() and int(user) > 0 and group.isdigit()
    assert json.loads(last("ENTRYPOINT")) == ["spangate"]
    assert json.loads(last("CMD"))[0] == "run"
    assert json.loads(last("HEALTHCHECK").partition("CMD ")[2]) == ["spangate", "ready"]
    assert last("STOPSIGNAL") == "SIGTERM"


def test_the_last_stage_has_no_compiler() -> None:
    stages = FILE.read_text().split("\nFROM ")
    assert len(stages) == 3 and "gcc" in stages[1] and "gcc" not in stages[2]


def kept() -> list[str]:
    """What the ignore file leaves of the folder: it names everything."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    return [rule[1:] for rule in rules if rule.startswith("!")]


def test_one_file_is_read_by_docker_and_podman() -> None:
    """Podman would look at a `.containerignore` first, and there would be two to keep alike."""
    assert (ROOT / ".dockerignore").is_file() and not (ROOT / ".containerignore").exists()


@pytest.mark.timeout(300)
def test_what_is_copied_is_enough_to_install_from(tmp_path: Path) -> None:
    """A wheel of sources alone, made in a folder that has what the recipe copies."""
    context = tmp_path / "src"
    context.mkdir()
    made = shutil.ignore_patterns("*.so", "__pycache__")  # the ignore file's last lines
    for name in kept():
        place = ROOT / name
        copy = functools.partial(shutil.copytree, ignore=made) if place.is_dir() else shutil.copy
        copy(place, context / name)
    words = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path / "dist"), "."]
    subprocess.run(
        [sys.executable, *words], cwd=context, check=True, capture_output=True,
        env=os.environ | {"SPANGATE_PURE": "1"},
    )  # fmt: skip
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    target = tmp_path / "installed"
    run(sys.executable, "-m", "zipfile", "-e", str(wheel), str(target))
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "version"], cwd=target, check=True, capture_output=True,
        text=True, env=os.environ | {"PYTHONPATH": str(target)},
    )  # fmt: skip
    assert done.stdout.startswith("spangate ")
    assert (target / "proxy" / "admin" / "ui").is_dir() and (target / "proxy" / "demo").is_dir()
