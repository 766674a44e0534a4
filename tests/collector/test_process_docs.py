"""The examples of docs/collector/processors.md work as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.collector import registry
from proxy.config.load import loads

PAGE = (Path(__file__).parents[2] / "docs" / "collector" / "processors.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
OURS = (
    "probabilistic_sampler",
    "attributes",
    "resource",
    "resource_detection",
    "filter",
    "transform",
    "redaction",
)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_is_a_configuration(example: str) -> None:
    loaded = loads(example, "doc.toml", {})
    assert loaded.config.collector is not None
    assert loaded.config.collector.processors


@pytest.mark.parametrize("type_", OURS)
def test_every_setting_is_told_of(type_: str) -> None:
    component = registry.find("processor", type_)
    assert component is not None
    section = PAGE.partition(f"## {type_}\n")[2].partition("\n## ")[0]
    for key in component.settings().__struct_fields__:
        assert f"`{key}`" in section, key
