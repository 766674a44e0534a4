"""What a reload has changed in the file, as people see it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.hub.config_history import LENGTH, LINES, MOST, ConfigHistory, Reloaded, difference


def test_a_change_is_a_diff_with_its_lines() -> None:
    before = "".join(f"a{i} = {i}\n" for i in range(100))
    after = before.replace("a50 = 50\n", "a50 = 51\nb = 1\n")
    assert difference(before, after) == (
        "--- before\n+++ after\n@@ -48,7 +48,8 @@\n a47 = 47\n a48 = 48\n a49 = 49\n"
        "-a50 = 50\n+a50 = 51\n+b = 1\n a51 = 51\n a52 = 52\n a53 = 53\n"
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a = 1\n", "a = 1\n"),
        ("a = 1 # x\n", "a = 1 # y\n"),
        ('[admin]\ntoken = "a"\n', '[admin]\ntoken = "b"\n'),
        ("a = 1\n", "a ="),
        ("a = 1\n", ""),
    ],
)
def test_what_cannot_be_shown_makes_none(before: str, after: str) -> None:
    assert difference(before, after) == ""


LINE = st.sampled_from([f"k{i} = {i}" for i in range(6)])


@given(st.lists(LINE, unique=True, min_size=1), st.lists(LINE, unique=True, min_size=1))
def test_it_leads_from_one_file_to_the_other(old: list[str], new: list[str]) -> None:
    found = difference("\n".join(old), "\n".join(new)).splitlines()
    if old == new:
        assert found == []
        return
    assert applied(old, found) == new


def applied(old: list[str], diff: list[str]) -> list[str]:
    """The lines that the hunks make of the old ones."""
    made: list[str] = []
    at = 0
    for line in diff[2:]:
        if line.startswith("@@"):
            first = line.split()[1][1:].partition(",")
            start = int(first[0]) - (first[2] != "0")
            made += old[at:start]
            at = start
        elif line[0] == "+":
            made.append(line[1:])
        else:
            assert old[at] == line[1:]
            at += 1
            made += [line[1:]] if line[0] == " " else []
    return made + old[at:]


def test_a_file_that_is_all_different_is_not_compared() -> None:
    before = "".join(f"a{i} = 1\n" for i in range(LINES + 1))
    after = "".join(f"b{i} = 1\n" for i in range(LINES + 5))
    assert "too much to be compared" in difference(before, after)


def test_a_long_diff_is_cut() -> None:
    before = "".join(f"a{i} = '{'x' * 100}'\n" for i in range(1000))
    found = difference(before, before.replace("x", "y"))
    assert LENGTH / 2 < len(found) <= LENGTH + 20 and found.endswith("… and more\n")


def test_the_last_ones_are_kept() -> None:
    history = ConfigHistory()
    for number in range(30):
        history.note(Reloaded("2026-01-01T00:00:00.000+00:00", number, True, "", ""))
    assert [one["generation"] for one in history.view()] == list(range(29, 29 - MOST, -1))
