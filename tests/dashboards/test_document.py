"""The rules file as a whole: stable bytes, a section of the page for each alert, known metrics."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.model import Config, Route, Slo
from proxy.dashboards.document import document, dumper
from tests.dashboards.kit import HOSTILE, all_rules, loaded, routes, rules_of

needs_libyaml = pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML without libyaml")
DOCS = Path(__file__).parents[2] / "docs"
TEXT = rules_of(routes(*HOSTILE))


def test_rules_are_named_by_the_window() -> None:
    found = {rule["record"] for rule in all_rules(rules_of(routes("a"))) if "record" in rule}
    windows = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
    assert found == {
        f"spangate:route:{kind}_ratio:rate{window}"
        for kind in ("error", "slow")
        for window in windows
    }


@pytest.mark.parametrize(
    ("slo", "kinds"),
    [
        ("slo = { availability = 0.999 }", {"availability"}),
        ('slo = { latency = "1s" }', {"latency"}),
        ('slo = { availability = 0.9, latency = "1s" }', {"availability", "latency"}),
        ("slo = false", set()),
        ("", set()),
    ],
)
def test_what_is_not_promised_has_no_alert(slo: str, kinds: set[str]) -> None:
    rules = all_rules(rules_of(routes("a", slo=slo)))
    assert {r["labels"]["slo"] for r in rules if "slo" in r.get("labels", {})} == kinds


def test_the_order_of_the_file_does_not_matter() -> None:
    forth, back = (loaded(routes(*names)).config.route for names in (HOSTILE, HOSTILE[::-1]))
    assert document(Config(route=forth)) == document(Config(route=back)) == TEXT


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_name_is_read_back(name: str) -> None:
    config = Config(route=[Route(name=name, to={"a": 1}, slo=Slo(availability=0.9))])
    text = document(config)
    assert text.isascii()
    rules = all_rules(text)
    assert {r["labels"]["spangate_route"] for r in rules if "record" in r} == {name}
    assert yaml.safe_load(text)["groups"][-1]["name"] == f"spangate slo slow: {name}"


@needs_libyaml
@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_both_writers_of_yaml_give_the_same_bytes(text: str) -> None:
    tree = {"groups": [{"name": text, "rules": [{"expr": f"{text}\nor {text}"}]}]}
    slow, fast = (
        yaml.dump(tree, Dumper=dumper(base), sort_keys=False, width=10**6)
        for base in (yaml.SafeDumper, yaml.CSafeDumper)
    )
    assert slow == fast


def test_each_alert_says_what_it_is_and_what_to_do() -> None:
    page = (DOCS / "alerts.md").read_text()
    anchors = {heading.lower() for heading in re.findall(r"^### (\w+)$", page, re.MULTILINE)}
    alerts = [rule for rule in all_rules(TEXT) if "alert" in rule]
    for alert in alerts:
        notes = alert["annotations"]
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert notes["summary"] and notes["description"]
        where, _, anchor = notes["runbook_url"].partition("#")
        assert where == "docs/alerts.md"
        assert anchor == alert["alert"].lower() and anchor in anchors
    assert {anchor for anchor in anchors if anchor.startswith("spangate")} == {
        alert["alert"].lower() for alert in alerts
    }


def test_no_name_of_a_route_is_in_what_prometheus_expands() -> None:
    for rule in all_rules(TEXT):
        said = " ".join(rule.get("annotations", {}).values())
        assert not re.search(r"\{\{(?! \$(labels\.\w+|value \| humanize(Percentage)?) \}\})", said)


def test_the_job_and_where_runbooks_are_can_be_said() -> None:
    text = rules_of("[[route]]\nrespond = 204\n", job='a"b', runbooks="https://w.example/r")
    rules = all_rules(text)
    assert rules[0]["expr"] == 'up{job="a\\"b"} == 0\nor absent(up{job="a\\"b"})'
    assert {r["annotations"]["runbook_url"].partition("#")[0] for r in rules} == {
        "https://w.example/r"
    }


def test_the_page_shows_what_is_printed() -> None:
    page = (DOCS / "alerts.md").read_text()
    (route,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    shown = re.findall(r"```yaml\n(  - alert:.*?)```", page, re.DOTALL)
    assert shown and all(part in rules_of(route) for part in shown)
