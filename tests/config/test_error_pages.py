"""Pages for failures: what files may hold, what is escaped, and what `[errors]` may say."""

from __future__ import annotations

import html
import json
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.error_template import MOST, NAMES, Kind, kind_of, parse, render
from proxy.config.load import load
from proxy.errors import ConfigError

VALUES = dict.fromkeys(NAMES, "x") | {"status": "503"}


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        (b"{status}", b"503"),
        (b"\xef\xbb\xbf{status}\r\n", b"503\r\n"),  # without the byte-order mark
        (
            b"p{color:red} { status } {Status} {} {0} ${",
            b"p{color:red} { status } {Status} {} {0} ${",
        ),
        (b"{{status}} {{x}} {{{status}}}", b"{status} {x} {{status}}"),
        (b"{status}{status}", b"503503"),
        ("é {detail}".encode(), "é x".encode()),
    ],
)
def test_what_is_filled_in_and_what_stays(page: bytes, shown: bytes) -> None:
    assert render(parse(page, "text"), "text", VALUES) == shown


@pytest.mark.parametrize(
    ("kind", "page", "why"),
    [
        ("html", b"", "it is empty"),
        ("html", b" \r\n", "it is empty"),
        ("html", b"\xef\xbb\xbf", "it is empty"),
        ("html", b"a\xff", "byte 2 is not UTF-8"),
        ("html", "{status}".encode("utf-16"), "byte 1 is not UTF-8"),
        ("html", b"a\n{statsu}", "line 2: nothing is known for {statsu}: there are {status}, "),
        ("html", b"x" * (MOST + 1), "more than 256 KiB"),
        ("json", b"{status", "it is not JSON"),
        ("json", b'{"a": {detail}}', "placeholders but {status} stand in quotes"),
        ("json", b'{"a": {retry_after}}', "placeholders but {status} stand in quotes"),
        ("json", b"[" * 100_000, "it is not JSON"),
    ],
)
def test_a_page_that_cannot_be_shown(kind: Kind, page: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        parse(page, kind)


def test_what_a_file_holds_follows_from_its_name() -> None:
    names = ("a.html", "a.HTM", "a.json", "a.txt", "a", "html")
    assert [kind_of(name) for name in names] == ["html", "html", "json", "text", "text", "html"]


@given(st.text())
def test_nothing_that_is_filled_in_is_more_than_text(value: str) -> None:
    values = VALUES | {"detail": value}
    made = render(parse(b"<a b={detail}>", "html"), "html", values).decode()
    inside = made.removeprefix("<a b=").removesuffix(">")
    assert not set(inside.replace("&#", "")) & set("<>\"'`=&\\{}$\n\r\0")
    plain = render(parse(b"{detail}", "text"), "text", values).decode()
    assert html.unescape(inside) == plain
    told = render(parse(b'{"a": "{detail}", "s": {status}}', "json"), "json", values)
    assert json.loads(told) == {"a": plain, "s": 503} and b"<" not in told


TOP = """
[[route]]
to = "orders"
[upstream.orders]
servers = ["http://10.0.0.1:8000"]
"""


def told(tmp_path: Path, said: str) -> list[str]:
    """What `spangate check` says of a file with this, as "line key: text"."""
    (tmp_path / "routes.toml").write_text(said + TOP)
    try:
        problems = load(str(tmp_path / "routes.toml"), {}).warnings
    except ConfigError as error:
        problems = error.problems
    return [f"{p.line} {p.key}: {p.message} ({p.remedy})" for p in problems]


@pytest.mark.parametrize(
    ("said", "line", "text"),
    [
        (
            'pages = { "503" = "no.html" }',
            "errors.pages.503",
            "'no.html': no such file or directory",
        ),
        ('pages = { "503" = "folder" }', "errors.pages.503", "'folder': it is not a file"),
        ('pages = { "503" = "pipe" }', "errors.pages.503", "'pipe': it is not a file"),
        ('pages = { "503" = "a\\u0000b" }', "errors.pages.503", "cannot read"),
        ('pages = { "503" = "empty.html" }', "errors.pages.503", "it is empty (leave the key out"),
        (
            'pages = { "503" = "odd.html" }',
            "errors.pages.503",
            "these very letters write {{x}}",
        ),
        ('pages = { "503" = { json = "ok.html" } }', "errors.pages.503.json", "it is not JSON"),
        ('pages = { "200" = "ok.html" }', "errors.pages.200", 'write "503", or "5xx"'),
        ('pages = { "600" = "ok.html" }', "errors.pages.600", 'write "503", or "5xx"'),
        ('pages = { 5XX = "ok.html" }', "errors.pages.5XX", 'write "503", or "5xx"'),
        ('pages = { "503" = {} }', "errors.pages.503", "this page comes from nowhere"),
        ('pages = { "503" = 3 }', "errors.pages.503", "expected a table, got a whole number"),
        (
            'pages = { "503" = { file = "ok.html", html = "ok.html" } }',
            "errors.pages.503.html",
            "`file` is for everybody",
        ),
        (
            'pages = { "503" = { upstream = "orders", html = "ok.html" } }',
            "errors.pages.503",
            "leave out `upstream` or `html`",
        ),
        (
            'pages = { "503" = { upstream = "order" } }',
            "errors.pages.503.upstream",
            "there is no upstream 'order' (did you mean `orders`?)",
        ),
        (
            'pages = { "503" = { upstream = "orders", path = "e" } }',
            "errors.pages.503.path",
            "'e' is not a path",
        ),
        (
            'pages = { "503" = { upstream = "orders", path = "/{detail}" } }',
            "errors.pages.503.path",
            "no other placeholder",
        ),
        ('pages = { "503" = { uri = "/x" } }', "errors.pages.503.uri", "write path = "),
        ('"503" = "ok.html"', "errors.503", 'write pages = { "503" = '),
        ("maintenance = 3", "errors.maintenance", "expected a table, got a whole number"),
        ('maintenance = "folder"', "errors.maintenance", "is a folder"),
        ('maintenance = "x/"', "errors.maintenance", "is not the name of a file"),
        (
            'maintenance = { on = true, allow = ["10.0.0.0/33"] }',
            "errors.maintenance.allow[0]",
            "10.0.0.0/33",
        ),
        ('maintenance = { retry_after = "soon" }', "errors.maintenance.retry_after", "soon"),
    ],
)
def test_what_check_says(tmp_path: Path, said: str, line: str, text: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty.html").write_bytes(b"")
    (tmp_path / "odd.html").write_text("{x}")
    (tmp_path / "ok.html").write_text("ok")
    (problem,) = told(tmp_path, f"[errors]\n{said}\n")
    assert problem.startswith(f"2 {line}: ") and text in problem


def test_what_check_takes(tmp_path: Path) -> None:
    for name in ("a.html", "a.txt"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf<p>{status}{{x}}\r\n")
    (tmp_path / "a.json").write_text('{"s": {status}, "d": "{detail}", "r": "{retry_after}"}')
    said = """
[errors]
pages = { "503" = { html = "a.html", json = "a.json", text = "a.txt" }, "4xx" = "a.txt" }
maintenance = "/run/spangate/maintenance"
[[route]]
path = "/x"
to = "orders"
maintenance = false
errors = { intercept = true, pages = { "5xx" = { upstream = "pages", path = "/e?s={status}" } } }
[upstream.pages]
servers = ["http://10.0.0.9:80"]
"""
    assert told(tmp_path, said) == []
    loaded = load(str(tmp_path / "routes.toml"), {})
    assert set(loaded.material.pages) == {"a.html", "a.json", "a.txt"}
    assert loaded.config.errors.maintenance.file == "/run/spangate/maintenance"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("error_page = '/e.html'", '[errors] pages = { "503" = "/e.html" }'),
        ("proxy_intercept_errors = true", "write [errors] intercept = true"),
        ("errorfile = '503 /e.http'", "write [errors] pages"),
        ("handle_errors = {}", "write [errors] pages"),
        ("maintenance = true", "write [errors] maintenance = true"),
    ],
)
def test_words_of_others(tmp_path: Path, line: str, says: str) -> None:
    (problem,) = told(tmp_path, f"{line}\n")
    assert says in problem
