"""What the documentation says about names, files and configuration is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.admin.exposition import metric_name
from proxy.config.load import loads
from proxy.hub import gauges
from proxy.telemetry.instruments import INSTRUMENTS, Instrument, Kind

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [t for t in LINK.findall(page.read_text()) if "://" not in t]
    assert not [t for t in targets if not (page.parent / t).exists()]


def test_the_readme_shows_a_configuration_of_ten_lines_that_works() -> None:
    text = (ROOT / "README.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert [loads(example, "README.md", {}).warnings for example in examples] == [[], [], [], []]
    assert len([line for line in examples[0].splitlines() if line.strip()]) == 10


def test_every_metric_is_documented_under_both_names() -> None:
    text = (ROOT / "docs" / "telemetry.md").read_text()
    known = [*INSTRUMENTS.values(), *(v for v in vars(gauges).values() if type(v) is Instrument)]
    for instrument in known:
        shown = metric_name(instrument) + ("_total" if instrument.kind is Kind.COUNTER else "")
        assert f"| `{instrument.name}` | `{shown}` |" in text


def test_every_attribute_of_ours_is_documented() -> None:
    """Literals in the source that begin with "spangate." and are names of something."""
    docs = "".join(page.read_text() for page in PAGES)
    documented = set(re.findall(r"spangate\.[a-z_.]+[a-z]", docs))
    written = {
        found
        for path in (ROOT / "proxy" / "telemetry").glob("*.py")
        for found in re.findall(r'"(spangate\.[a-z_.]+)"', path.read_text())
    }
    assert {"spangate.route", "spangate.retry.reason"} <= written
    assert not written - documented - {"spangate."}  # the prefix that labels must not have
