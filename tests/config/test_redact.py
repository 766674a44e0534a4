"""What /config shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.config.load import loads
from proxy.config.redact import redacted
from proxy.config.secrets import is_edited, is_secret
from proxy.errors import ConfigError

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
        *(
            f'[[route]]\npath = "/a"\nto = "http://b"\nheaders.{side}.{edit}.{name} = "hunter2"'
            for side in ("request", "response")
            for edit in ("set", "add")
            for name in ("x-auth", "x-backend-key", "x-team", "remove")
        ),
        '[[route]]\npath = "/a"\nrespond.headers = { x-team = "hunter2" }',
        '[[route]]\npath = "/a"\nto = "http://b"\nwhen.header = { x-auth = "hunter2" }',
        '[[route]]\npath = "/a"\nto = "http://b"\nwhen.query = { sig = "hunter2" }',
        'export.otlp = "https://collector/x?api_key=hunter2"',
        '[[route]]\npath = "/a"\nredirect = { to = "https://a/?x=1&token=hunter2" }',
        '[collector.exporters.otlp_http]\nheaders = { x-team = "hunter2" }',
        '[collector.exporters.otlp_http]\nendpoint = "http://a:hunter2@b"',
        '[collector.receivers.otlp]\ngrpc = ":1"\nauth = { basic = { ops = "hunter2" } }',
        '[collector.receivers.otlp]\ngrpc = ":1"\nauth = { bearer = ["hunter2"] }',
    ],
)
def test_secrets_are_gone(text: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    text = text.replace("SECRET", f"{tmp_path}/secret")
    loaded = loads(f"{text}\n{ROUTE}", "f", {"PASS": "hunter2"})
    assert "hunter2" in repr(loaded.config)
    assert "hunter2" not in json.dumps(redacted(loaded))


@pytest.mark.parametrize("key", ["client_secret", "secret"])
@pytest.mark.parametrize("kind", ["oidc", "jwt"])
def test_secrets_of_checks_are_hidden(kind: str, key: str) -> None:
    assert is_secret(("auth", "login", kind, key))
    assert not is_edited(("auth", "login", kind, "issuer"))


def test_what_checks_ask_for_is_shown() -> None:
    text = """
[auth.staff.jwt]
issuer = "https://id.example"
audience = "shop"
jwks = "https://id.example/jwks"
in = ["cookie:session"]
claims = { role = "admin" }
headers = { x-user = "sub" }
[[route]]
to = "http://b"
auth = { any = "staff", scopes = "orders:read", claims = { team = "blue" } }
cors = { origins = "https://shop.example", headers = "authorization" }
allow = "10.0.0.0/8"
"""
    shown = redacted(loads(text, "f", {}))
    staff = shown["auth"]["staff"]["jwt"]
    assert (staff["issuer"], staff["headers"]) == ("https://id.example", {"x-user": "sub"})
    assert (staff["claims"], staff["audience"]) == ({"role": "admin"}, ["shop"])
    route = shown["route"][0]
    assert route["auth"]["any"] == ["staff"]
    assert route["auth"]["claims"] == {"team": "blue"}
    assert route["cors"]["headers"] == ["authorization"]
    assert "REDACTED" not in json.dumps((shown["auth"], route))


def test_names_that_are_edited_are_shown() -> None:
    edits = 'headers.request = { set = { x-a = "1" }, remove = ["x-b"] }'
    shown = redacted(loads(f'[[route]]\nto = "http://b"\n{edits}', "f", {}))
    request = shown["route"][0]["headers"]["request"]
    assert request == {"set": {"x-a": "REDACTED"}, "add": {}, "remove": ["x-b"]}


def test_a_place_to_be_filled_is_no_secret() -> None:
    to = "https://a/?token={token}&x={query}"
    text = f'[[route]]\npath = "/{{token}}"\nredirect = {{ to = "{to}" }}'
    assert redacted(loads(text, "f", {}))["route"][0]["redirect"]["to"] == to


@pytest.mark.parametrize("place", ["headers.request.set", "headers.response.add"])
def test_a_mistake_in_an_edit_does_not_show_its_value(place: str) -> None:
    text = f'[[route]]\nto = "http://b"\n{place} = {{ x-pin = 271828, x-a = "a\\nhunter2" }}'
    with pytest.raises(ConfigError) as caught:
        loads(text, "f", {})
    assert "write it in quotes" in str(caught.value)
    assert "271828" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_came_from_the_environment_is_shown_as_written() -> None:
    shown = redacted(loads(f'listen = ":${{PORT:-8080}}"\n{ROUTE}', "f", {"PORT": "81"}))
    assert shown["listen"][0]["address"] == ":${PORT:-8080}"


def test_headers_from_otel_variables_are_gone_too() -> None:
    environ = {"OTEL_EXPORTER_OTLP_HEADERS": "x-team=hunter2"}
    assert redacted(loads(ROUTE, "f", environ))["export"]["headers"] == {"x-team": "REDACTED"}
