"""docs/configuration.md has every key of the model with its default, and none besides."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.config import model, observe
from proxy.config.otel_env import Environment, fill
from proxy.config.otel_export import fill_export
from proxy.config.report import Report
from proxy.config.schema import default_of
from proxy.config.section import Section

TEXT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
TABLES = {
    match[1]: dict(re.findall(r"^\| `(\w+)` \|(.*?)\|", match[2], re.MULTILINE))
    for match in re.finditer(r"<!-- (\w+) -->\n((?:\|.*\n)+)", TEXT)
}
SECTIONS = [
    value
    for value in {**vars(observe), **vars(model)}.values()
    if isinstance(value, type) and issubclass(value, Section) and value is not Section
]
# In words, because TOML has no way to say it.
SAID_IN_WORDS = {
    ("Route", "name"),
    ("Config", "listen"),
    ("Limits", "body"),
    ("Defaults", "timeout"),
}


@pytest.mark.parametrize("section", SECTIONS, ids=lambda s: s.__name__)
def test_every_key_is_documented_with_its_default(section: Any) -> None:
    documented = TABLES[section.__name__]
    fields = msgspec.structs.fields(section)
    assert set(documented) == {field.encode_name for field in fields}
    for field in fields:
        if (section.__name__, field.name) not in SAID_IN_WORDS:
            assert documented[field.encode_name].strip() in _defaults(field), field.name


def _defaults(field: Any) -> list[str]:
    """How a default may be written; an empty list may be left out or shown."""
    if field.required:
        return ["required"]
    default = default_of(field)
    if default in (None, "", []):
        return ["", "`[]`"] if default == [] else [""]
    return [f"`{json.dumps(default)}`"]


class Asked(dict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self) -> None:
        super().__init__(OTEL_TRACES_SAMPLER="traceidratio")
        self.names: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.names.add(name)
        return super().get(name, default)


def test_every_variable_that_is_read_is_documented() -> None:
    asked = Asked()
    env = Environment(asked, Report("f"))
    fill({}, env)
    fill_export({"otlp": []}, env)
    fill_export({}, env)
    general = {n for n in asked.names if not re.search(r"_OTLP_(TRACES|METRICS|LOGS)_", n)}
    assert len(general) > 20
    assert [name for name in sorted(general) if f"`{name}`" not in TEXT] == []
