"""`[auth.NAME.forward]`: the upstream that its server is, and what is wrong with tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxy.config.access_forward import check, path_of, server_of
from proxy.config.access_model import Forward
from proxy.config.load import loads
from proxy.config.model import Config
from proxy.config.report import Report
from proxy.config.units import Seconds

PLACE = ("auth", "sso", "forward")


def loaded(to: str, more: str = "") -> Config:
    text = f'[auth.sso]\nforward = {{ to = "{to}" }}\n[[route]]\nto = "http://a"\nauth = "sso"\n'
    return loads(text + more, "test.toml", {}).config


@pytest.mark.parametrize(
    ("to", "server", "path"),
    [
        ("http://10.0.0.1:9000/verify", "http://10.0.0.1:9000", "/verify"),
        ("https://id.example/a/b?c=d", "https://id.example", "/a/b?c=d"),
        ("HTTP://id.example", "http://id.example", "/"),
        ("http://[::1]:9?x=1", "http://[::1]:9", "/?x=1"),
        ("http://user@a/", "", "/"),
        ("ftp://a/", "", "/"),
        ("http://a/#b", "", "/"),
        ("http://a/ b", "", "/"),
        ("/verify", "", "/"),
        ("", "", "/"),
    ],
)
def test_server_and_path(to: str, server: str, path: str) -> None:
    assert (server_of(to), path_of(to)) == (server, path)


def test_the_server_is_an_upstream_of_its_own() -> None:
    config = loaded("http://10.0.0.1:9000/verify?a=b")
    assert list(config.upstream["auth.sso"].servers) == ["http://10.0.0.1:9000"]


def test_one_that_the_file_declares_is_used() -> None:
    config = loaded("http://verifier/check", '[upstream.verifier]\nservers = "http://10.0.0.1:1"\n')
    assert "auth.sso" not in config.upstream


def test_what_a_route_leads_to_is_no_declaration() -> None:
    """Routes may lead to the same host by other ports or schemes."""
    config = loaded("http://verifier/check", '[[route]]\nto = "https://verifier"\npath = "/b"\n')
    assert list(config.upstream["auth.sso"].servers) == ["http://verifier"]


def problems(**table: object) -> list[tuple[str, bool]]:
    """(key path, whether it is a warning) of each problem of a table."""
    report = Report("test.toml")
    made = {"to": "http://a/v", **table}
    check(Forward(**made), PLACE, report)  # type: ignore[arg-type]
    assert all(problem.remedy for problem in report.problems)
    return [
        (problem.key.removeprefix("auth.sso.forward."), problem.warning)
        for problem in report.problems
    ]


CACHE = {"cache": Seconds(10)}


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ({}, []),
        ({"to": "https://a:1/v?x=y"}, []),
        ({"to": ""}, [("to", False)]),
        ({"to": "/verify"}, [("to", False)]),
        ({"to": "grpc://a/v"}, [("to", False)]),
        ({"to": "http://me:secret@a/v"}, [("to", False)]),
        ({"to": "http://a/v#x"}, [("to", False)]),
        ({"timeout": Seconds(0)}, [("timeout", False)]),
        ({"headers": ["x-user", "X-Role", "authorization", "cookie"]}, []),
        ({"headers": ["x-user", "Content-Length"]}, [("headers[1]", False)]),
        ({"headers": ["Transfer_Encoding"]}, [("headers[0]", False)]),
        ({"headers": ["host"]}, [("headers[0]", False)]),
        ({"headers": ["x-forwarded-for"]}, [("headers[0]", False)]),
        ({"headers": ["traceparent"]}, [("headers[0]", False)]),
        ({"headers": ["set-cookie"]}, [("headers[0]", False)]),
        ({"headers": ["x user"]}, [("headers[0]", False)]),
        ({"attributes": {"user.id": "x:user"}}, [('attributes."user.id"', False)]),
        ({"send": [""]}, [("send[0]", False)]),
        ({"cookies": ["a=b"]}, [("cookies[0]", False)]),
        ({"cache_key": ["query:x"]}, [("cache_key[0]", False)]),
        ({"cache_key": ["header:", "cookie"]}, [("cache_key[0]", False), ("cache_key[1]", False)]),
        (CACHE, []),
        ({**CACHE, "cache_key": []}, [("cache_key", False)]),
        ({**CACHE, "cache_key": ["path"]}, [("cache_key", True)]),
        ({**CACHE, "cache_key": ["path", "header:Authorization"]}, [("cache_key", True)]),
        ({**CACHE, "cache_key": ["header:authorization", "cookie:session", "client"]}, []),
        ({**CACHE, "cache_key": ["header:authorization"], "send": ["Authorization"]}, []),
        ({**CACHE, "cache_key": ["path"], "send": ["Cookie"]}, [("cache_key", True)]),
        ({**CACHE, "cache_key": ["header:x-api-key"], "send": ["x-api-key"]}, []),
        ({**CACHE, "cache_key": ["path"], "send": ["x-api-key"]}, [("cache_key", True)]),
    ],
)
def test_what_is_wrong_with_a_table(
    table: dict[str, object], found: list[tuple[str, bool]]
) -> None:
    assert problems(**table) == found


def test_a_secret_in_a_url_is_not_shown() -> None:
    report = Report("test.toml")
    check(Forward(to="http://me:secret@a/v"), PLACE, report)
    assert "secret" not in str(report.problems)


BLOCKS = re.findall(
    r"```toml\n(.*?)```",
    (Path(__file__).parents[2] / "docs" / "access-forward.md").read_text(),
    re.DOTALL,
)


@pytest.mark.parametrize("block", BLOCKS)
def test_what_the_page_shows_works(block: str) -> None:
    if "[[route]]" not in block:
        (name,) = re.findall(r"\[auth\.(\w+)\]", block)
        block += f'\n[[route]]\nto = "http://10.0.0.1"\nauth = "{name}"\n'
    assert loads(block, "routes.toml", {}).warnings == []
