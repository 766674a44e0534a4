"""Checks and their use: what is refused, with line and remedy, and what is left open."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from proxy.config.load import loads
from proxy.errors import ConfigError, Problem

LISTEN = 'listen = "127.0.0.1:8080"\n'
TO = 'to = "http://127.0.0.1:8000"\n'
KEYS = '[auth.keys]\napi_key = { file = "keys.toml" }\n'
CLIENTS = """
[[listen]]
address = ":8443"
tls = { self_signed = true, client_ca = "ca.pem" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    digest = hashlib.sha256(b"a key of the tests").hexdigest()
    (tmp_path / "keys.toml").write_text(f'[[key]]\nname = "shop"\nhash = "sha256:{digest}"\n')
    (tmp_path / "short.key").write_text("hunter2")
    (tmp_path / "jwks.json").write_text('{"keys": "none"}')
    (tmp_path / "md5.htpasswd").write_text("ann:$apr1$hunter2$hunter2hunter2hunter2hu\n")
    (tmp_path / "plain.toml").write_text('[[key]]\nname = "shop"\nhash = "hunter2"\n')
    return tmp_path


def problems(text: str, folder: Path) -> list[Problem]:
    """All that is told of the file, errors and warnings."""
    try:
        return loads(text, str(folder / "routes.toml"), {}).warnings
    except ConfigError as error:
        return error.problems


@pytest.mark.parametrize(
    ("line", "check", "says"),
    [
        (2, "", "this check is of no kind (write jwt = {"),
        (3, 'users = "x"', "unknown key (write basic = "),
        (3, 'basic = {}', "`file` is missing (write file = "),
        (3, 'api_key = {}', '`file` is missing (write file = "keys.toml"'),
        (3, 'api_key = { file = "nothing.toml" }', "nothing.toml: no such file"),
        (3, 'api_key = { file = "plain.toml" }', "plain.toml, line 3: "),
        (3, 'api_key = { file = "keys.toml", in = "head:x" }', "'head:x' is no place in a request"),
        (3, 'api_key = { file = "keys.toml", in = [] }', "there is no place to look at"),
        (3, 'api_key = { file = "keys.toml", header = "x_user" }', 'write "x-user"'),
        (3, 'api_key = { file = "keys.toml", header = "Host" }', "Host is the gateway's own"),
        (3, 'api_key = { file = "keys.toml", header = "a b" }', "'a b' is not a header name"),
        (3, 'api_key = { key_names = "x", file = "keys.toml" }', 'write in = ["header:x-api-key"]'),
        (3, "jwt = {}", "give `jwks`, or `secret` for HS256"),
        (3, 'jwt = { jwks = "http://id.example/keys" }', "may be anybody's (write https://"),
        (3, 'jwt = { jwks = "jwks.json" }', "jwks.json: a JWKS is an object"),
        (3, 'jwt = { jwks = "https://i/k", algorithms = "HS256" }', "needs a key that nobody"),
        (3, 'jwt = { secret = "short.key", algorithms = "RS256" }', "needs the issuer's public"),
        (3, 'jwt = { secret = "short.key", algorithms = "HS256" }', "can be guessed"),
        (3, 'jwt = { secret = "hunter2", algorithms = "HS256" }', "there is no such file"),
        (3, 'jwt = { jwks = "https://i/k", algorithms = "none" }', "algorithms"),
        (3, 'jwt = { jwks = "https://i/k", headers = { traceparent = "sub" } }', "gateway's own"),
        (3, 'jwt = { jwks = "https://i/k", headers = { x-user = "" } }', "a claim has a name"),
        (3, 'jwt = { jwks = "https://i/k", attributes = { "http.x" = "a" } }', "belongs to the"),
        (3, 'jwt = { jwks = "https://i/k", scopes = "a b" }', "'a b' is no scope"),
        (3, 'jwt = { jwks = "https://i/k", size = 0 }', "a token cannot be unlimited"),
        (3, 'jwt = { jwks = "https://i/k", audiences = ["a"] }', 'write audience = ["shop"]'),
        (3, 'mtls = { identities = "spiffe://a/*" }', "no listener asks for client certificates"),
        (3, 'mtls = { identities = "spiffe://a/*/b" }', "'spiffe://a/*/b'"),
        (3, 'mtls = { subjects = "orders" }', "'orders' is no TYPE=value"),
        (3, 'basic = { file = "md5.htpasswd" }', "md5.htpasswd, line 1: "),
        (3, 'forward = { to = "ftp://a/b" }', "ftp:// is no way to ask"),
        (3, 'forward = {}', "says nobody who is asked"),
        (3, 'basic = { file = "u" }\nmtls = {}', "a check is of one kind, and this is basic and"),
    ],
)  # fmt: skip
def test_a_check_that_cannot_work(line: int, check: str, says: str, folder: Path) -> None:
    text = f"{LISTEN}[auth.a]\n{check}\n[[route]]\n{TO}auth = 'a'\n"
    found = [p for p in problems(text, folder) if not p.warning]
    assert [p.line for p in found if says in str(p)] in ([line], [2]), list(map(str, found))
    assert "hunter2" not in " ".join(map(str, found))


@pytest.mark.parametrize(
    ("auth", "says"),
    [
        ('auth = "key"', "there is no check 'key' (did you mean `keys`?)"),
        ('auth = ["keys", "staff"]', "there is no check 'staff' (known: keys)"),
        ('auth = ["keys", "none"]', '"none" stands alone'),
        ("auth = []", 'no check is named (write auth = "none" if that is meant)'),
        ("auth = {}", 'no check is named (write auth = "none" if that is meant)'),
        ("auth = { all = [] }", "no check is named"),
        ('auth = { scopes = "a" }', "nobody has scopes or claims"),
        ('auth = { all = "keys", or = "b" }', 'write any = ["staff", "keys"]'),
        ("auth = true", 'write auth = "staff"'),
        ('allow = "10.0.0.1/8"', 'write "10.0.0.0/8"'),
        ('deny = ["10.0.0.0/8", "here"]', "'here' is not a network"),
    ],
)
def test_a_route_that_cannot_work(auth: str, says: str, folder: Path) -> None:
    found = [p for p in problems(f"{LISTEN}{KEYS}[[route]]\n{TO}{auth}\n", folder) if not p.warning]
    assert [p.line for p in found if says in str(p)] == [6], list(map(str, found))


@pytest.mark.parametrize(
    ("route", "says"),
    [
        ('auth = "keys"\n[[route]]\npath = "/b"\n' + TO, "everybody may come in here"),
        ('auth = { all = "keys", any = "keys" }', "'keys' is in `all` as well"),
        ('auth = "keys"\nallow = "::1"\ndeny = "::1"', "::1 is in `allow` as well"),
        ('auth = "keys"\ndeny = ["0.0.0.0/0", "::/0"]', "nobody may come in"),
        ("", "no route asks this check"),
    ],
)
def test_what_is_hardly_meant(route: str, says: str, folder: Path) -> None:
    found = problems(f"{LISTEN}{KEYS}[[route]]\n{TO}{route}\n", folder)
    assert all(p.warning for p in found), list(map(str, found))
    assert [p for p in found if says in str(p)], list(map(str, found))


@pytest.mark.parametrize(
    "other",
    [
        'auth = "none"\n' + TO,
        'allow = "10.0.0.0/8"\n' + TO,
        "respond = 204\n",
        'redirect = "/"\n',
    ],
)
def test_what_is_open_on_purpose(other: str, folder: Path) -> None:
    text = f'{LISTEN}{KEYS}[[route]]\n{TO}auth = "keys"\n[[route]]\npath = "/b"\n{other}'
    assert list(map(str, problems(text, folder))) == []


@pytest.mark.parametrize(
    ("top", "is_open"),
    [
        ('listen = ":8080"', True),
        ("", True),
        ('listen = "10.0.0.1:80"', True),
        ('listen = "127.0.0.1:8080"', False),
        ('listen = "[::1]:8080"', False),
        ('listen = "localhost:8080"', False),
        ('listen = "unix:gw.sock"', False),
        ('listen = ":8080"\nforwarding.trust = ["10.0.0.1"]', False),
        ('listen = [{ address = ":8080", trust = ["10.0.0.1"] }]', False),
        ('listen = [{ address = ":8443", tls = { self_signed = true } }]', False),
    ],
)
def test_credentials_that_everybody_on_the_way_can_read(
    top: str, is_open: bool, folder: Path
) -> None:
    found = problems(f'{top}\n{KEYS}[[route]]\n{TO}auth = "keys"\n', folder)
    assert any("comes in plaintext" in str(p) for p in found) is is_open, list(map(str, found))


def test_files_are_read_once_and_go_to_workers(folder: Path) -> None:
    text = f'{LISTEN}{KEYS}[[route]]\n{TO}auth = "keys"\n'
    loaded = loads(text, str(folder / "routes.toml"), {})
    assert loaded.warnings == []
    assert list(loaded.material.credentials) == ["keys.toml"]
    assert loaded.material.credentials["keys.toml"]
