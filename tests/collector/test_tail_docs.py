"""The examples of the pages on whole traces and connectors are configurations that work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.collector import registry
from proxy.config.load import loads

PAGES = Path(__file__).parents[2] / "docs" / "collector"
MINE = [
    ("processor", "tail_sampling", "tail_sampling.md"),
    ("processor", "group_by_trace", "tail_sampling.md"),
    ("connector", "span_metrics", "connectors.md"),
    ("connector", "service_graph", "connectors.md"),
]


@pytest.mark.parametrize("page", ["tail_sampling.md", "connectors.md"])
def test_examples_work(page: str) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (PAGES / page).read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        loads(block, page, {})


@pytest.mark.parametrize(("kind", "type", "page"), MINE)
def test_every_setting_is_told(kind: str, type: str, page: str) -> None:
    component = registry.find(kind, type)
    assert component is not None
    text = (PAGES / page).read_text()
    section = text.partition(f"{kind.title()} `{type}`")[2]
    for key in component.settings().__struct_fields__:
        assert re.search(rf"`{key}\b", section), key


def test_every_policy_is_told() -> None:
    from proxy.collector.tail.settings import TABLES

    text = (PAGES / "tail_sampling.md").read_text()
    for name, table in TABLES.items():
        row = next(
            line for line in text.splitlines() if line.startswith("|") and f"`{name}`" in line
        )
        for key in table.__struct_fields__:
            if key != "spanevent":
                assert f"`{key}`" in row, (name, key)
