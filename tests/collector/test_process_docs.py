"""The examples of docs/collector/processors.md work as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.collector import registry
from proxy.collector.ottl.compile import CONVERTERS
from proxy.collector.ottl.editors import EDITORS
from proxy.collector.ottl.fields import FIELDS
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


def test_every_function_of_ottl_is_told_of() -> None:
    page = (Path(__file__).parents[2] / "docs" / "collector" / "ottl.md").read_text()
    missing = [name for name in (*EDITORS, *CONVERTERS) if f"`{name}`" not in page]
    assert missing == []
    for example in re.findall(r"```toml\n(.*?)```", page, re.DOTALL):
        assert loads(example, "doc.toml", {}).config.collector is not None


@pytest.mark.parametrize("context", sorted(FIELDS))
def test_every_field_of_ottl_is_told_of(context: str) -> None:
    page = (Path(__file__).parents[2] / "docs" / "collector" / "ottl.md").read_text()
    missing = [f for f in FIELDS[context] if f.partition(".string")[0] not in page]
    assert missing == []
