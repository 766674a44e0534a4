"""The pages on Jaeger and Zipkin: examples work, and every setting is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.collector import registry
from proxy.config.load import loads

PAGES = Path(__file__).parents[2] / "docs" / "collector"


@pytest.mark.parametrize("type", ["jaeger", "zipkin"])
def test_examples_work(type: str) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (PAGES / f"{type}.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        assert loads(block, f"{type}.md", {}).warnings == []


@pytest.mark.parametrize("kind", ["receiver", "exporter"])
@pytest.mark.parametrize("type", ["jaeger", "zipkin"])
def test_every_setting_is_told(kind: str, type: str) -> None:
    component = registry.find(kind, type)
    assert component is not None
    text = (PAGES / f"{type}.md").read_text()
    section = text.partition(f"## {kind.title()} `{type}`")[2].partition("\n## ")[0]
    for key in component.settings().__struct_fields__:
        assert f"`{key}`" in section, key
