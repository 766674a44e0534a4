"""The file as it may be shown: what is secret in it is gone, and all the rest stands as it was."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.secrets import REDACTED
from proxy.config.written import blocks, veiled

FILE = """\
listen = ":8080"   # hunter2 was here
# token = "hunter2"

[admin]
token = "hunter2"
listen = "127.0.0.1:9901"

[export]
otlp = { url = "http://me:hunter2@collector:4318", headers = { x-team = "hunter2" } }

[upstream.orders]
servers = { "http://me:hunter2@10.0.0.1:80" = 3, "http://10.0.0.2:80" = 1 }

[[route]]
path = "/a/{id}"
to = "orders"
[route.headers.request.set]
x-internal = \"\"\"
hunter2
\"\"\"
[[route]]
path = "/b"
respond = { status = 200, body = "# no comment" }
"""


def test_what_checks_ask_for_stays_and_their_secrets_go() -> None:
    text = """
[auth.login.oidc]
issuer = "https://id.example"
client_secret = "hunter2"
secret = "hunter2"
scopes = ["openid"]
[auth.staff]
jwt = { jwks = "https://me:hunter2@id.example/jwks", secret = "hunter2" }
[[route]]
auth = { any = ["staff", "login"], claims = { role = "admin" } }
cors = { origins = ["https://shop.example"], headers = ["authorization"] }
"""
    shown = veiled(text)
    assert "hunter2" not in shown
    kept = (
        "https://id.example",
        "openid",
        "admin",
        "staff",
        "login",
        "authorization",
        "shop.example",
    )
    assert [word for word in kept if word not in shown] == []


def test_secrets_and_comments_are_gone_and_lines_stay() -> None:
    shown = veiled(FILE)
    assert "hunter2" not in shown
    assert shown.splitlines()[:2] == ['listen = ":8080"', ""]
    assert f'token = "{REDACTED}"' in shown
    assert f"http://{REDACTED}@collector:4318" in shown
    assert '"http://10.0.0.2:80" = 1' in shown
    assert 'body = "# no comment"' in shown
    assert len(shown.splitlines()) == len(FILE.splitlines())
    assert [n for n, line in enumerate(shown.splitlines()) if "[[route]]" in line] == [
        n for n, line in enumerate(FILE.splitlines()) if "[[route]]" in line
    ]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('[admin]\ntoken = "hunter2"', "hunter2"),
        ("[admin]\ntoken = 'hunter2' # x", "hunter2"),
        ('admin.token = "hunter2"', "hunter2"),
        ('admin = { token = "hunter2" }', "hunter2"),
        ("[admin]\ntoken = 4711", "4711"),
        ('to = "http\\u003a//a:hunter2@b"', "hunter2"),
        ('url = "http://a/?token=hunter2&x=1"', "hunter2"),
        ('[collector.exporters.o]\nauth = { password = "hunter2" }', "hunter2"),
        ('[collector.exporters.o.headers]\nx = ["hunter2"]', "hunter2"),
        ('[collector]\nx = "hunter2"', ""),  # hides nothing, and is read
        ('"http://a:hunter2@b" = 1', "hunter2"),
        ("# hunter2", "hunter2"),
        ("a = [ # hunter2\n 1, # hunter2\n]", "hunter2"),
        ('a = "x" # "hunter2"', "hunter2"),
    ],
)
def test_wherever_a_secret_stands(text: str, secret: str) -> None:
    shown = veiled(text)
    assert not secret or secret not in shown
    assert tomllib.loads(shown) is not None
    assert shown or text.startswith("#")


@pytest.mark.parametrize(
    "text", ["token = hunter2", "[admin", 'a = "x', "a = 1\na = 2", "[" * 9000]
)
def test_what_is_no_toml_is_not_shown(text: str) -> None:
    assert veiled(text) == ""


def test_keys_that_nobody_knows_are_hidden() -> None:
    text = '[admin]\ntokn = "hunter2"\nhosts = ["a"]\n[[route]]\npaht.x = "hunter2"\n'
    shown = veiled(text, {"admin.tokn", "route[0].paht"})
    assert "hunter2" not in shown and 'hosts = ["a"]' in shown


def test_references_are_shown() -> None:
    text = 'listen = "${PORT}"\nto = "${file:/run/a}"\n'
    assert veiled(text) == text


WORDS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), WORDS, WORDS), max_size=6))
def test_nothing_else_changes(lines: list[tuple[str, str, str]]) -> None:
    def quoted(text: str) -> str:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{text}"'

    keys = {f"{key}{i}": (value, said) for i, (key, value, said) in enumerate(lines)}
    text = "".join(f"{key} = {quoted(value)} # {said}\n" for key, (value, said) in keys.items())
    assert tomllib.loads(veiled(text)) == {key: value for key, (value, _) in keys.items()} or any(
        "://" in value for value, _ in keys.values()
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "[[route]]\na = 1\n[x]\nb = 2\n[[route]]\na = 3\n",
            ["[[route]]\na = 1", "[[route]]\na = 3"],
        ),
        ("[[route]]\n[route.when]\nb = 1\n[y]\n", ["[[route]]\n\n[route.when]\nb = 1"]),
        ("[route]\na = 1\n[route.when]\nb = 1\n", ["[route]\na = 1\n\n[route.when]\nb = 1"]),
        ("route = [{ a = 1 },\n { b = [2] }]\n[x]\n", ["{ a = 1 }", "{ b = [2] }"]),
        ("[x]\n", []),
        ("", []),
    ],
)
def test_the_block_of_each_route(text: str, found: list[str]) -> None:
    assert blocks(text, "route") == found


def test_blocks_of_the_whole_file() -> None:
    first, second = blocks(veiled(FILE), "route")
    assert first.startswith('[[route]]\npath = "/a/{id}"') and REDACTED in first
    assert second.endswith('respond = { status = 200, body = "# no comment" }')
