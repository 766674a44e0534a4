"""What tests of rules and boards share: files with routes, and `promtool`."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config.load import loads
from proxy.config.loaded import Loaded
from proxy.dashboards.document import document

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")

# What a route can be called: any one line of visible characters.
HOSTILE = (
    'a"b',
    "a\\b\\n",
    "{{ $labels.instance }} {{ printf }}",
    "{{{{ }} {{{",
    '{{"x"}}',
    "${DS} $route [[route]] $__rate_interval",
    '"} or vector(1) #',
    "null",
    "~",
    "yes: no",
    "- [a, b]",
    "&x *x !x %x @x `x` |",
    "'quoted' \"twice\"",
    "é ü 漢字 😀",
    "# no comment",
    "0o17",
    "1e3",
)
QUEUE = '[messaging.kafka.bus]\nbrokers = ["127.0.0.1:9092"]\n'
PUBLISHES = f"""{QUEUE}
[[route]]
name = "publishes"
path = "/topics/{{topic}}"
publish = {{ to = "bus", topic = "{{topic}}" }}
"""
CONSUMES = f"""{QUEUE}
[upstream.billing]
servers = ["http://127.0.0.1:9"]
[[consume]]
from = "bus"
topics = ["orders"]
group = "billing"
to = "billing"
"""
SLO = 'slo = { availability = 0.999, latency = "500ms" }'


def routes(*names: str, slo: str = SLO) -> str:
    return "".join(
        f'[[route]]\nname = {toml(name)}\npath = "/{i}"\nto = "http://127.0.0.1:9"\n{slo}\n'
        for i, name in enumerate(names)
    )


def toml(text: str) -> str:
    """A basic string; `$` is doubled, which a file says for one."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{escaped}"'


def loaded(text: str, file: str = "routes.toml") -> Loaded:
    return loads(text, file, {})


def rules_of(text: str, **more: Any) -> str:
    return document(loaded(text).config, **more)


def all_rules(text: str) -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def promtool(folder: Path, kind: str, name: str, text: str) -> str:
    """What it has said; it must have taken the file."""
    (folder / name).write_text(text)
    command = ["promtool", kind, "rules", str(folder / name)]
    done = subprocess.run(command, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def queries(board: dict[str, Any]) -> list[tuple[str, str]]:
    """(where, what is asked) of all that a board asks Prometheus."""
    found = [(v["name"], v["definition"]) for v in _list(board, "templating") if "definition" in v]
    found = [(name, f"{what[13:].rpartition(',')[0]}") for name, what in found]  # label_values(…)
    found += [(a["name"], a["expr"]) for a in _list(board, "annotations")]
    return found + [
        (f"{panel['title']} {target['refId']}", target["expr"])
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ]


def _list(board: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return list(board[key]["list"])


METRIC = re.compile(r"\b(?:spangate|http|rpc|otelcol|process)_[a-z0-9_]+\b(?=[{\[) ]|$)", re.M)
LABELS = re.compile(r"\{[^{}]*\}|\b(?:by|on|ignoring) \([^()]*\)")
STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')


def metrics_in(expr: str) -> set[str]:
    """Names of metrics, without labels and strings."""
    return set(METRIC.findall(LABELS.sub("", STRINGS.sub('""', expr))))
