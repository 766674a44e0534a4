"""What newcomers read first: line, key and remedy of each mistake, and each of them once."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from proxy.cli import main

from .faulty import FILES, Faulty


def said(text: str) -> list[str]:
    """What `spangate check` prints about a file that comes through a pipe."""
    result = CliRunner().invoke(main, ["check", "--strict", "-"], input=text)
    assert result.exit_code == 1
    return result.output.splitlines()


def test_there_are_fifty_and_from_everywhere() -> None:
    assert len(FILES) >= 50
    assert len({file.name for file in FILES}) == len(FILES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_each_mistake_is_told_with_line_key_and_remedy(file: Faulty) -> None:
    lines = said(file.text.removeprefix("\n"))
    expected = file.told.strip("\n").split("\n")
    assert len(lines) == len(expected), "one line for each mistake, and no other"
    for line, wanted in zip(lines, expected, strict=True):
        place, remedy = wanted.split(": ", 1)
        number, key = place.split(" ", 1)
        assert line.replace("warning: ", "").startswith(f"<stdin>:{number}: {key}: ")
        assert remedy in line


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_key_is_told_about_twice(file: Faulty) -> None:
    places = [line.split(": ", 2)[:2] for line in said(file.text.removeprefix("\n"))]
    assert len({tuple(place) for place in places}) == len(places)
