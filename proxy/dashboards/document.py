"""The rules as the YAML file that Prometheus loads.

PyYAML quotes whatever could be taken for something else. Nothing but ASCII is written, so that a
name looks the same to every program, and no order but that of names matters: the same routes give
the same bytes.
"""

from __future__ import annotations

from typing import Any

import yaml

from proxy.config.model import Config
from proxy.dashboards import fixed, rules
from proxy.dashboards.objectives import objectives

HEAD = """\
# Written by `spangate alerts prometheus`; write it anew when the routes or their `slo` change.
# What each alert means and what to do: docs/alerts.md.
"""
JOB = "spangate"
RUNBOOKS = "docs/alerts.md"


def document(
    config: Config, *, job: str = JOB, fewest: int = rules.FEWEST, runbooks: str = RUNBOOKS
) -> str:
    """The text of a rules file. `fewest`: requests below which no burn rate is told."""
    groups = []
    for title, found in fixed.alerts(job).items():
        made = [fixed.rule(alert, runbooks) for alert in found]
        groups.append({"name": f"spangate {title}", "rules": made})
    for objective in objectives(config):
        groups += rules.groups(objective, fewest, runbooks)
    return HEAD + yaml.dump({"groups": groups}, Dumper=_Dumper, sort_keys=False, width=10**6)


def dumper(base: Any) -> Any:
    """A dumper of PyYAML that writes an expression of several lines in lines of their own."""
    made: Any = type("Dumper", (base,), {})
    made.add_representer(str, _text)
    return made


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


# The same bytes as SafeDumper's, by libyaml: 24,000 rules in 2 s instead of 12.
_Dumper = dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper))
