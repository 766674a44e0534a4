"""`[auth.NAME] oidc`: logins that could not work, and those that others could fake."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.load import loads
from proxy.errors import ConfigError, Problem

GOOD = {
    "issuer": '"https://id.example"',
    "client_id": '"shop"',
    "secret": '"${file:secret}"',
}


def problems(folder: Path, **keys: str) -> list[Problem]:
    (folder / "secret").write_text("s" * 32)
    (folder / "short").write_text("s" * 40 + "\nshort\n")
    table = "".join(f"{key} = {value}\n" for key, value in {**GOOD, **keys}.items() if value)
    text = f"""listen = "127.0.0.1:8080"
[[route]]
to = "http://127.0.0.1:8000"
auth = "login"
[auth.login.oidc]
{table}"""
    try:
        return loads(text, str(folder / "routes.toml"), {}).warnings
    except ConfigError as error:
        return error.problems


def test_a_good_one(tmp_path: Path) -> None:
    assert problems(tmp_path) == []
    assert problems(tmp_path, issuer='"http://127.0.0.1:5556/dex"') == []
    assert problems(tmp_path, client_secret='"${file:secret}"', logout='""') in ([],)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("issuer", "", "`issuer` is missing"),
        ("issuer", '"http://id.example"', "whoever is between"),
        ("issuer", '"id.example"', "this is no URL"),
        ("issuer", '"https://u:p@id.example"', "no query, fragment or user"),
        ("issuer", '"https://id.example/.well-known/openid-configuration"', "leave /.well-known"),
        ("issuer", '"https://id.example:x"', "this is no URL"),
        ("client_id", "", "`client_id` is missing"),
        ("secret", "", "`secret` is missing"),
        ("secret", '"hunter2"', "less than 32 characters"),
        ("secret", '"${file:short}"', "less than 32 characters"),
        ("callback", '"oauth2/callback"', "is not a path"),
        ("callback", '"//evil.test/x"', "is not a path"),
        ("callback", '"https://shop.test/x"', "is not a path"),
        ("callback", '"/"', "is not a path"),
        ("callback", '"/a?b"', "is not a path"),
        ("callback", '"/oauth2/logout"', "this is the path of `callback`"),
        ("cookie", '"shop"', 'write "__Host-shop"'),
        ("cookie", '"__Secure-shop"', 'write "__Host-shop"'),
        ("cookie", '"__Host-a b"', "no name of a cookie"),
        ("cookie", '"__Host-"', "no name of a cookie"),
        ("scopes", '["email"]', "without openid"),
        ("session", '"0s"', "over at once"),
    ],
)
def test_what_is_refused(key: str, value: str, says: str, tmp_path: Path) -> None:
    (found,) = [p for p in problems(tmp_path, **{key: value}) if not p.warning]
    assert says in str(found)
    assert found.line
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("client_secret", '"hunter2"', "whoever reads this file knows the secret"),
        ("secret", f'"{"x" * 32}"', "whoever reads this file knows the secret"),
        ("session", '"60d"', "stolen"),
    ],
)
def test_what_is_doubted(key: str, value: str, says: str, tmp_path: Path) -> None:
    (found,) = problems(tmp_path, **{key: value})
    assert found.warning
    assert says in str(found)
    assert "hunter2" not in str(found)
