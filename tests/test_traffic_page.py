"""docs/traffic.md: its example can be used, and each test that its table names is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from proxy.config.load import loads
from proxy.errors import ConfigError
from proxy.upstream.state import UpstreamState

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "traffic.md").read_text()


@cache
def written() -> set[str]:
    files = (ROOT / "tests").rglob("test_*.py")
    return {name for f in files for name in re.findall(r"def (test_\w+)\(", f.read_text())}


def test_the_example_can_be_used() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert loads(example, "traffic.md", {}).warnings == []


@pytest.mark.parametrize("row", re.findall(r"^\| (.*) \| `(test_\w+)` \|$", PAGE, re.MULTILINE))
def test_each_row_about_bad_input_has_its_test(row: tuple[str, str]) -> None:
    assert row[1] in written()


def test_a_weight_of_nothing_is_refused() -> None:
    text = '[route]\nto = "u"\n[upstream.u]\nservers = { "http://a" = 0, "http://b" = 0 }\n'
    with pytest.raises(ConfigError) as refused:
        loads(text, "f", {})
    for problem in refused.value.problems:
        assert problem.key.startswith("upstream.u.servers.") and problem.line == 4
        assert ">= 1" in problem.message


def test_weights_of_nothing_count_as_one() -> None:
    state = UpstreamState("u")
    for url in ("http://a", "http://b"):
        state.add(url, 0)
    picked = [state.balancer.pick(0) for _ in range(4)]
    assert sorted(e.url for e in picked if e is not None) == ["http://a"] * 2 + ["http://b"] * 2
