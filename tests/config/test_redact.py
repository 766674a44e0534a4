"""What /config shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.config.load import loads
from proxy.config.redact import redacted

ROUTE = '[[route]]\nto = "http://127.0.0.1:8000"\n'


def test_values_are_shown_in_the_notation_of_the_file() -> None:
    text = 'drain_timeout = "90s"\nlimits.body = "20MiB"\ntracing.sample = 0.5\n' + ROUTE
    shown = redacted(loads(text, "f", {}))
    assert shown["drain_timeout"] == "1m30s"
    assert shown["limits"]["body"] == "20MiB"
    assert shown["tracing"]["sample"] == 0.5
    assert shown["route"][0]["timeout"] is None
    json.dumps(shown)


def test_what_is_shown_can_be_loaded_again() -> None:
    text = 'drain_timeout = "0.25s"\nlimits.body = "1500B"\n' + ROUTE
    config = loads(text, "f", {}).config
    shown = redacted(loads(text, "f", {}))
    again = (
        f'drain_timeout = "{shown["drain_timeout"]}"\nlimits.body = "{shown["limits"]["body"]}"\n'
    )
    assert loads(again + ROUTE, "f", {}).config == config


@pytest.mark.parametrize(
    "text",
    [
        'export.headers = { x-team = "hunter2" }',
        'labels.team = "x${file:SECRET}"',
        'labels.api_key = "hunter2"',
        'resource."deploy.token" = "hunter2"',
        'export.otlp = "http://user:hunter2@collector:4318"',
        'export.otlp = "http://${PASS}:4318"',
        'labels.team = "${PASS}"',
        '[[route]]\npath = "/a"\nrespond = { headers = { Set-Cookie = "hunter2" } }',
        '[[route]]\npath = "/a"\nto = "http://b"\n'
        'headers.request.set = { Authorization = "hunter2" }',
        '[[route]]\npath = "/a"\nto = "http://b"\nwhen.header = { X-Api-Key = "hunter2" }',
        '[[route]]\npath = "/a"\nto = "http://b"\nwhen.query = { password = "hunter2" }',
        '[[route]]\npath = "/a"\nredirect = { to = "https://u:hunter2@a/" }',
        '[upstream.u]\nservers = { "http://${file:SECRET}:1" = 1 }',
    ],
)
def test_secrets_are_gone(text: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    text = text.replace("SECRET", f"{tmp_path}/secret")
    loaded = loads(f"{text}\n{ROUTE}", "f", {"PASS": "hunter2"})
    assert "hunter2" in repr(loaded.config)
    assert "hunter2" not in json.dumps(redacted(loaded))


def test_what_came_from_the_environment_is_shown_as_written() -> None:
    shown = redacted(loads(f'listen = ":${{PORT:-8080}}"\n{ROUTE}', "f", {"PORT": "81"}))
    assert shown["listen"][0]["address"] == ":${PORT:-8080}"


def test_headers_from_otel_variables_are_gone_too() -> None:
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=hunter2"}
    assert redacted(loads(ROUTE, "f", environ))["export"]["headers"] == {"x-team": "REDACTED"}
