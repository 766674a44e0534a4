"""`spangate explain` and a running gateway are held together: what one says, the other does."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.config.load import loads
from proxy.explain import explain, read_request
from tests.harness import Backend, Gateway, gateway
from tests.server.kit import routing

ROUTES = """
[limits]
body = "1KiB"
head_fields = 20
[forwarding]
underscores = "{underscores}"
[[route]]
name = "v6"
host = "[2001:db8::1]"
respond = {{ status = 201 }}
[[route]]
name = "exact host"
host = "shop.example"
path = "/api/{{id}}"
to = "b"
rewrite = {{ path = "/v2/{{id}}" }}
[[route]]
name = "wildcard"
host = "*.example"
path = "/*"
to = "b"
rewrite = {{ prefix = "/wild" }}
[[route]]
name = "decode"
path = "/f/*"
encoded_slash = "decode"
to = "b"
[[route]]
name = "reject"
path = "/r/*"
encoded_slash = "reject"
path_parameters = "reject"
to = "b"
[[route]]
name = "denied"
path = "/f/admin/*"
respond = {{ status = 403 }}
[[route]]
name = "role"
path = "/f/*"
when = {{ header = {{ x-role = "admin" }} }}
respond = {{ status = 418 }}
[[route]]
name = "flag"
path = "/flag"
when = {{ header = {{ x-flag = "*" }} }}
respond = {{ status = 202 }}
[[route]]
name = "under"
path = "/flag"
when = {{ header = {{ x_flag = "1" }} }}
respond = {{ status = 203 }}
[[route]]
name = "query"
path = "/api/*"
when = {{ query = {{ v = "2" }}, method = ["GET", "POST"] }}
body_limit = "10B"
to = "b"
[[route]]
name = "writes"
path = "/orders/{{id}}"
when = {{ method = ["POST", "PUT"] }}
to = "b"
[[route]]
name = "moved"
path = "/moved/*"
redirect = {{ to = "https://new.example{{*}}" }}
[[route]]
name = "strip"
path = "/old/*"
rewrite = {{ strip = "/old" }}
to = "b"
[[route]]
name = "regex"
path = "~/v[0-9]+/(?P<rest>.*)"
rewrite = {{ path = "/x/{{rest}}" }}
to = "b"
"""

_METHODS = "GET GET GET GET HEAD POST PUT OPTIONS TRACE CONNECT get BREW G[T M-SEARCH"
_HOSTS = """
g shop.example SHOP.Example. shop.example: shop.example:080 a.b.example [2001:DB8:0::1] [::1]:8080
[2001:db8::1] 10.0.0.1:81 g..example %73hop.example g%00 g:99999 g:x u@g é.example [::1 a,b g_h
"""
_TARGETS = """
/ /api/1 /api/1?v=2 /api/1?v=1&v=2 /api/%31 //api//1 /api/./x/../1?v=2 /api/1? /f/a%2Fb
/f/a%2fadmin /f%2Fadmin/x /f/admin%2Fx /f/..%2Fx /f/x?é=é /r/a%2Fb /r/a;b /r/a%3bb /r/a /café
/flag /orders/1 /orders/1?a=%zz /moved/x/y?q=1 /moved? /moved/%2e%2e/x /old/a?b#c /old /#f /x#f?y
/v1/a%2F..%2Fb /v1/../v2/a /v1/..;/x /a%00 /a%zz /a\\b /../x /a;v=1/b /nowhere ?v=2 *
"""
METHODS, HOSTS, TARGETS = _METHODS.split(), _HOSTS.split(), _TARGETS.split()
FIELDS = [
    "X_Flag: 1", "X-Flag: 1", "x-flag:", "X-Role: admin", "X-Role: guest", "X-Role: guest, admin",
    "Max-Forwards: 0", "Max-Forwards: 1", "Content-Length: 0", "Content-Length: 5000",
    "Content-Length: +1", "Transfer-Encoding: gzip", "Expect: 200-ok", "Connection: x-role",
    "Connection: :path", "X : 1", "X\u00e9: 1", "X: \u00e9",
    "Via: " + ", ".join(["1.1 spangate"] * 10),
    "Upgrade: websocket", "TE: trailers", "Host: second.example", "Accept: text/plain",
]  # fmt: skip


@dataclass(frozen=True)
class Asked:
    method: str
    host: str
    target: str
    fields: tuple[str, ...]
    says_host: bool = False  # in a header, and not in the URL

    def typed(self) -> bytes:
        if self.says_host or self.target in ("*", ""):
            return read_request(self.method, self.target, [f"Host: {self.host}", *self.fields])
        return read_request(self.method, f"http://{self.host}{self.target}", self.fields)

    def sent(self) -> bytes:
        target = self.target if self.target[:1] in ("/", "*") else "/" + self.target
        if self.method == "CONNECT" and not self.says_host:
            target = f"http://{self.host}{self.target}"
        lines = list(self.fields)
        has_host = any(line.startswith("Host:") for line in lines)
        if self.says_host or self.target == "*" or not has_host:
            lines.insert(0, f"Host: {self.host}")  # as clients do: a header that is given wins
        return "\r\n".join([f"{self.method} {target} HTTP/1.1", *lines, "", ""]).encode()


def corpus(seed: int, number: int) -> list[Asked]:
    """As many requests: each host and target once with GET, the rest by chance."""
    chance = random.Random(seed)
    asked = [Asked("GET", "g", target, ()) for target in TARGETS]
    asked += [Asked("GET", host, "/api/1", (), True) for host in HOSTS]
    asked += [Asked("GET", host, "/f/x", (), False) for host in HOSTS if "@" not in host]
    asked += [Asked("GET", "g", "/f/x", (field,)) for field in FIELDS]
    asked += [Asked(method, "g", target, ()) for method in METHODS for target in ("*", "/orders/1")]
    asked.append(Asked("GET", "g", "/f/" + "x" * 9000, ()))
    asked.append(Asked("GET", "g", "/f/x", tuple(f"X-{i}: 1" for i in range(20))))
    asked.append(Asked("GET", "g", "/f/x", ("X: " + "x" * 70_000,)))
    while len(asked) < number:
        fields = chance.sample(FIELDS, chance.choice((0, 0, 1, 1, 2)))
        target, host = chance.choice(TARGETS), chance.choice(HOSTS)
        asked.append(Asked(chance.choice(METHODS), host, target, tuple(fields), "@" in host))
    return asked


def told(config: str, asked: Asked) -> str:
    """What explain says: a status, or the request line that goes upstream."""
    _, lines = explain(loads(config, "test.toml", {}), asked.typed())
    for line in lines:
        if line.startswith("answer"):
            return line.split()[1].strip(":,")
        if line.startswith("forwarded"):
            return line.removeprefix("forwarded").strip() + " HTTP/1.1"
    raise AssertionError(lines)


async def done(gate: Gateway, backend: Backend, asked: Asked) -> str:
    """What the gateway does: its status, or the request line that the backend saw."""
    before = len(backend.heads)
    client = await gate.connect()
    client.write(asked.sent())
    status = (await client.head()).split(b" ")[1].decode()
    await client.close()
    if len(backend.heads) > before:
        return backend.heads[-1].split(b"\r\n")[0].decode()
    return status


@pytest.mark.parametrize("underscores", ["drop", "pass", "reject"])
async def test_explain_says_what_the_gateway_does(underscores: str) -> None:
    differ = []
    async with Backend() as backend:
        config = routing({"b": [backend.url]}, ROUTES.format(underscores=underscores))
        async with gateway(config) as gate:
            for asked in corpus(len(underscores), 500):
                said, seen = told(config, asked), await done(gate, backend, asked)
                if said != seen:
                    differ.append((asked, said, seen))
    assert not differ, "\n".join(map(str, differ))


def spangate(tmp_path: Path, config: str, *words: str, **environ: str) -> tuple[int, str]:
    file = tmp_path / "routes.toml"
    file.write_text(config)
    ran = CliRunner().invoke(main, ["explain", str(file), *words], env=environ)
    assert ran.exception is None or isinstance(ran.exception, SystemExit)
    return ran.exit_code, ran.output


PLAIN = '[[route]]\npath = "/x"\nwhen = { method = ["GET", "PUT"] }\nto = "http://127.0.0.1:1"\n'


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("OPTIONS", "*"), 0, "answer     200, Allow: GET, HEAD"),
        (("TRACE", "/x"), 1, "answer     405, Allow: GET, HEAD"),
        (("POST", "/x"), 1, "answer     405, Allow: GET, PUT"),
        (("CONNECT", "h:443"), 1, "answer     405"),
        (("GET", "/y"), 1, "answer     404"),
        (("GET", "http://[::1]:8080/x?"), 0, "forwarded  GET /x?\n"),
        (("GET", "/x", "-H", "Host: a b"), 1, "answer     400: the Host header"),
        (("GET", "http://h:99999/x"), 1, "answer     400: the Host header names a port"),
        (("GET", "/x#f"), 1, "answer     400"),
        (("GET", "/x?é"), 0, "forwarded  GET /x?%C3%A9\n"),
        (("GET", "/" + "x" * 9000), 1, "answer     414"),
    ],
)
def test_explain_on_the_command_line(
    tmp_path: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    exit_code, output = spangate(tmp_path, PLAIN, *words)
    assert exit_code == code, output
    assert says in output


SECRETS = """
labels = {{ team = "${{file:{file}}}" }}
[[route]]
name = "let in"
path = "/in/*"
when = {{ header = {{ x-key = "${{file:{file}}}", authorization = "plain-token" }} }}
to = "b"
rewrite = {{ prefix = "/${{file:{file}}}" }}
[[route]]
name = "by query"
path = "/in/*"
when = {{ query = {{ key = "~${{file:{file}}}" }}, header = {{ x-env = "${{NAME}}" }} }}
redirect = {{ to = "/${{file:{file}}}" }}
[route.headers.request]
set = {{ x-backend-key = "${{file:{file}}}" }}
[[route]]
name = "all"
path = "/in/*"
labels = {{ owner = "${{file:{file}}}" }}
to = "b"
[upstream.b]
servers = ["http://127.0.0.1:1"]
"""


@pytest.mark.parametrize(
    "words",
    [
        ("GET", "/in/x"),
        ("GET", "/in/x", "-H", "X-Key: hush-hush", "-H", "Authorization: plain-token"),
        ("GET", "/in/x", "-H", "X-Key: wrong"),
        ("GET", "/in/x?key=hush-hush", "-H", "X-Env: from outside"),
    ],
)
def test_explain_hides_what_config_hides(tmp_path: Path, words: tuple[str, ...]) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hush-hush")
    code, output = spangate(tmp_path, SECRETS.format(file=secret), *words, NAME="from outside")
    assert code == 0, output
    for line in output.splitlines():
        assert "hush" not in line and "plain-token" not in line, line
    assert "REDACTED" in output


SECURE = """
[[listen]]
address = ":8080"
[[listen]]
address = ":8443"
tls = { self_signed = true }
[[route]]
respond = 200
"""


def test_a_certificate_made_at_the_start_is_told_of(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(SECURE)
    checked = CliRunner().invoke(main, ["check", "--strict", str(file)])
    assert checked.exit_code == 0
    ok, told = checked.output.splitlines()
    assert ok == "ok: 1 route, 0 upstreams"
    assert told.startswith(
        f"{file}:6: listen[1].tls: a certificate is made at start, for localhost, 127.0.0.1, ::1"
    )
    for url, listeners in (("https://a/", [":8443, a self-signed certificate"]), ("http://a/", [])):
        lines = CliRunner().invoke(main, ["explain", str(file), url]).output.splitlines()
        found = [line.split(maxsplit=1)[1] for line in lines if line.startswith("listener")]
        assert len(found) == len(listeners)
        assert all(one.startswith(start) for one, start in zip(found, listeners, strict=True))


def test_explain_says_which_limits_a_request_meets(tmp_path: Path) -> None:
    rate = 'rate = ["5/m", { limit = "9/s", burst = 3, key = "client", scope = "worker" }]\n'
    _, output = spangate(tmp_path, PLAIN + rate, "GET", "/x")
    assert "rate       5/m, at most 5 at once, for the route as a whole; scope host\n" in output
    assert "           9/s, at most 3 at once, for each client; scope worker\n" in output


ACCESS = """
listen = "127.0.0.1:8080"
[auth.staff]
jwt = { jwks = "https://id.example/jwks", issuer = "https://id.example", audience = "shop" }
[auth.sso]
forward = { to = "http://127.0.0.1:9000/verify" }
[[route]]
path = "/admin/*"
to = "http://127.0.0.1:1"
auth = { any = ["staff", "sso"], scopes = "orders:read" }
allow = ["10.0.0.0/8", "${NET}"]
deny = "10.1.0.0/16"
cors = { origins = "https://shop.example" }
[[route]]
path = "/open"
to = "http://127.0.0.1:1"
auth = "none"
"""
PREFLIGHT = ("Origin: https://a.example", "Access-Control-Request-Method: GET")


@pytest.mark.parametrize(
    ("method", "path", "headers", "client", "taken", "says"),
    [
        ("GET", "/admin/x", (), None, True, "one of staff (jwt), sso (forward)"),
        ("GET", "/admin/x", (), None, True, "staff: 401, nothing in header:authorization"),
        ("GET", "/admin/x", ("Authorization: Bearer hunter2",), None, True, "not judged here"),
        ("GET", "/admin/x", (), None, True, "scopes orders:read, otherwise 403"),
        ("GET", "/admin/x", (), None, True, "allow 10.0.0.0/8, ${NET}, all others 403"),
        ("GET", "/admin/x", (), "10.2.0.1", True, "address 10.2.0.1 may come in"),
        ("GET", "/admin/x", (), "192.0.2.7", True, "address 192.0.2.7 may come in"),
        ("GET", "/admin/x", (), "10.1.0.1", False, "answer     403: address 10.1.0.1 is in `deny`"),
        ("GET", "/admin/x", (), "1.2.3.4", False, "address 1.2.3.4 is not in `allow`"),
        ("GET", "/admin/x", (), "", False, "a Unix socket is not in `allow`"),
        ("GET", "/admin/x", (), "nonsense", False, "is not in `allow`"),
        ("OPTIONS", "/admin/x", PREFLIGHT, None, True, "answered here, before any check"),
        ("GET", "/open", (), "1.2.3.4", True, 'no check: auth = "none"'),
    ],
)
def test_who_may_come_in(
    method: str, path: str, headers: tuple[str, ...], client: str | None, taken: bool, says: str
) -> None:
    loaded = loads(ACCESS, "f", {"NET": "192.0.2.0/24"})
    is_taken, lines = explain(loaded, read_request(method, path, headers), "http", client)
    assert is_taken is taken
    assert [line for line in lines if says in line], lines
    assert "hunter2" not in "\n".join(lines)
    assert ("forwarded" in "\n".join(lines)) is taken


def test_a_file_without_checks_says_nothing_of_them() -> None:
    loaded = loads('[[route]]\nto = "http://127.0.0.1:1"\n', "f", {})
    _, lines = explain(loaded, read_request("GET", "/", ()))
    assert not [line for line in lines if line.startswith("access")]


@pytest.mark.parametrize(
    ("keep", "auth", "target"),
    [
        ("", '"keys"', "/a?b=1"),
        (", keep = true", '"keys"', "/a?key=hunter2&b=1"),
        ("", '"none"', "/a?key=hunter2&b=1"),
    ],
)
def test_a_key_in_the_query_is_forwarded_as_the_gateway_does(
    tmp_path: Path, keep: str, auth: str, target: str
) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(f'[[key]]\nname = "shop"\nhash = "sha256:{"0" * 64}"\n')
    text = f'[auth.keys]\napi_key = {{ in = "query:key", file = "{file}"{keep} }}\n'
    text += f'[[route]]\nto = "http://127.0.0.1:1"\nauth = {auth}\n'
    _, lines = explain(loads(text, "f", {}), read_request("GET", "/a?key=hunter2&b=1", ()))
    assert f"forwarded  GET {target}" in lines


SIDECAR = """
[mesh]
app = "127.0.0.1:8000"
[upstream.users]
servers = ["http://10.0.0.7:15006"]
"""


@pytest.mark.parametrize(
    ("url", "listener", "says"),
    [
        ("http://users/x", [], "10.0.0.7:15006"),
        ("http://other.test/x", [], "wherever the connection was meant to go"),
        ("http://users/x", ["--listener", "inbound"], "127.0.0.1:8000"),
    ],
)
def test_a_sidecar_is_explained_by_the_side_that_is_asked(
    tmp_path: Path, url: str, listener: list[str], says: str
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(SIDECAR)
    told = CliRunner().invoke(main, ["explain", str(file), "GET", url, *listener])
    assert told.exit_code == 0 and says in told.output
