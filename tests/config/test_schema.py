"""The JSON schema takes what the loader takes, and nothing that it refuses for its shape."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from proxy.config.schema import schema

from .test_load import DESIGN

SCHEMA = schema()
TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
}


def accepts(rule: dict[str, Any], value: Any) -> bool:
    """The part of JSON Schema that ours uses."""
    if "$ref" in rule:
        return accepts(SCHEMA["$defs"][rule["$ref"].rpartition("/")[2]], value)
    if "anyOf" in rule:
        return any(accepts(option, value) for option in rule["anyOf"])
    if "const" in rule or "enum" in rule:
        return value in rule.get("enum", [rule.get("const")])
    if not rule:
        return True
    kind = TYPES[rule["type"]]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        return False
    if isinstance(value, dict):
        return _accepts_table(rule, value)
    if isinstance(value, list):
        return all(accepts(rule["items"], item) for item in value)
    if isinstance(value, str):
        return re.search(rule.get("pattern", ""), value) is not None
    return rule.get("minimum", value) <= value <= rule.get("maximum", value)


def _accepts_table(rule: dict[str, Any], table: dict[str, Any]) -> bool:
    known = rule.get("properties", {})
    more = rule["additionalProperties"]
    names = re.compile(rule.get("propertyNames", {}).get("pattern", ""))
    for pattern, rest in rule.get("patternProperties", {}).items():
        known = {**known, **{name: rest for name in table if re.search(pattern, name)}}
    return (
        all(name in table for name in rule.get("required", ()))
        and all(names.search(name) for name in table)
        and all(
            accepts(known[name], item) if name in known else more and accepts(more, item)
            for name, item in table.items()
        )
    )


def test_it_is_json() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


def test_the_examples_are_valid() -> None:
    shipped = Path(__file__).parents[2] / "routes.toml"
    for text in (DESIGN, shipped.read_text()):
        assert accepts(SCHEMA, tomllib.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        'listen = ":80"',
        'listen = [":80", { address = ":81" }]',
        '[[route]]\nto = "http://a"\nhost = "a"\nretry = 2\nwhen.method = "GET"',
        '[[route]]\nto = { a = 1, b = 2 }\nhost = ["a"]\nretry = { times = 2, on = [503] }',
        'upstream.a.servers = "http://a"\nupstream.b.servers = ["http://a"]',
        'upstream.a.servers = { "http://a" = 3 }\nupstream.a.retry = 1',
        'export.otlp = "grpc://a"\nexport.traces = ["http://b"]',
        'workers = "${N}"\ntracing.sample = "${S}"\nexport.compression = "${C}"',
        'workers = "auto"\ndrain_timeout = "1m 30s"\nlimits.body = "1.5 MiB"',
        '[route]\nto = "http://a"\n',
        'listen = 8080\nroute = [{ redirect = "/d" }, { respond = "no" }, { respond = 204 }]',
        '[upstream.a]\nservers = "http://a"\nhealth = "/up"\n',
        "drain_timeout = 0\nlimits.body = 0\nlimits.connections = 0\ndefaults.retry = 1",
    ],
)
def test_short_forms_and_references_are_valid(text: str) -> None:
    assert accepts(SCHEMA, tomllib.loads(text))


@pytest.mark.parametrize(
    "text",
    [
        "liste = ':80'",
        "listen = 80800",
        "listen = [{}]",
        "workers = 0",
        "workers = 'all'",
        "drain_timeout = 5",
        "drain_timeout = '5'",
        "limits.body = '5'",
        "tracing.sample = 10",
        "tracing.extract = ['jaeger']",
        "route = [{ to = 5 }]",
        "route = [{ to = { a = 0 } }]",
        "route = [{ redirect = {} }]",
        "upstream.'a b'.servers = 'http://a'",
    ],
)
def test_what_the_loader_refuses_for_its_shape_is_not_valid(text: str) -> None:
    assert not accepts(SCHEMA, tomllib.loads(text))


def test_keys_say_what_they_mean_and_what_their_default_is() -> None:
    limits = SCHEMA["$defs"]["Limits"]["properties"]
    assert limits["head_bytes"]["default"] == "64KiB"
    assert "408" in limits["header_timeout"]["description"]


def properties() -> list[tuple[str, str, dict[str, Any]]]:
    """(table, key, schema) of every key that there is."""
    tables = {"Config": SCHEMA, **SCHEMA["$defs"]}
    return [
        (t, key, rule) for t, table in tables.items() for key, rule in table["properties"].items()
    ]


def test_every_table_and_every_key_says_what_it_means() -> None:
    assert len(properties()) > 600
    assert [(t, key) for t, key, rule in properties() if not rule.get("description")] == []
    assert [name for name, table in SCHEMA["$defs"].items() if not table["description"]] == []


def test_what_is_said_is_a_comment_and_no_code() -> None:
    said = [(t, key, rule["description"]) for t, key, rule in properties()]
    assert [s for s in said if "field(" in s[2] or s[2].startswith(("=", ")", "#"))] == []
    # One of each notation: beside the key, behind a longer field, above it, inherited, of a table.
    told = {(t, key): text for t, key, text in said}
    assert told["Listener", "address"].startswith('":8080"')
    assert "idempotent" in told["Retry", "methods"]
    assert told["Retrying", "elapsed"].startswith("0 = for as long as")
    queue = "exporters.prometheus_remote_write.OrderedQueue"
    assert told[queue, "storage"] == told["parts.Queue", "storage"]
    assert "samples out of order" in told[queue, "num_consumers"]
    assert told["Export", "tls"]


COLLECTOR = """
[collector.receivers.otlp]
grpc = "127.0.0.1:4317"
[collector.processors."batch/quick"]
timeout = "1s"
[collector.exporters."otlp/old name"]
endpoint = "localhost:4317"
[collector.pipelines."traces/2"]
receivers = ["otlp"]
exporters = ["otlp/old name"]
"""


def test_components_are_known_by_their_type() -> None:
    assert accepts(SCHEMA, tomllib.loads(COLLECTOR))
    for old, new in (
        ("grpc =", "gprc ="),
        ("batch/", "bach/"),
        ('"1s"', "1"),
        ('receivers = ["otlp"]', 'receivers = "otlp"'),
    ):
        assert not accepts(SCHEMA, tomllib.loads(COLLECTOR.replace(old, new)))
