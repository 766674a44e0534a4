"""Pages name every key and every type, so that nobody has to read the schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.collector.registry import COMPONENTS, Component

DOCS = Path(__file__).parents[2] / "docs"
TEXT = "\n".join(
    page.read_text() for page in (DOCS / "collector.md", *sorted((DOCS / "collector").glob("*.md")))
)
OVERVIEW = (DOCS / "collector.md").read_text()


def keys(settings: Any) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(settings)]


def has_page(component: Component) -> bool:
    """A heading such as "## Receiver `otlp`"."""
    return re.search(rf"^#.*`{component.type}`", TEXT, re.MULTILINE) is not None


@pytest.mark.parametrize(
    "component",
    [c for c in COMPONENTS if c.built and has_page(c)],
    ids=lambda c: f"{c.kind}-{c.type}",
)
def test_every_key_is_on_some_page(component: Component) -> None:
    missing = [key for key in keys(component.settings()) if not re.search(rf"\b{key}\b", TEXT)]
    assert missing == []


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: f"{c.kind}-{c.type}")
def test_every_type_is_in_the_overview(component: Component) -> None:
    assert f"`{component.type}`" in OVERVIEW
