"""The command, as it is typed: output and exit codes."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from proxy import __version__
from proxy.cli import main
from proxy.config.load import STDIN, load, loads
from proxy.errors import ConfigError

GOOD = """
listen = ":8080"
labels = { env = "prod" }

[tracing]
sample = 0.1

[defaults]
connect_timeout = "5s"

[[route]]
name = "orders"
path = "/api/orders/{id}"
when = { method = "GET" }
to = { stable = 90, canary = 10 }
timeout = "2s"
retry = { times = 2, on = [503] }
rewrite = { path = "/v2/{id}" }
labels = { team = "shop" }

[[route]]
name = "rest"
path = "/api/*"
to = "stable"

[[route]]
path = "/moved/*"
redirect = { to = "https://example.com{*}?{query}" }

[[route]]
path = "/ping"
respond = { body = "pong" }

[[route]]
host = "only.example"
path = "/host"
to = "stable"
trace = { sample = 1.0 }

[upstream.stable]
servers = { "http://10.0.0.1:8000" = 3, "http://10.0.0.2:8000" = 1 }
idle_timeout = "10s"

[upstream.canary]
servers = "http://10.0.0.3"
"""

SHADOWED = """
[[route]]
name = "first"
path = "/a/*"
respond = {}
[[route]]
name = "second"
path = "/a/*"
when = { method = "GET" }
respond = {}
[[route]]
name = "third"
path = "/a/*"
respond = {}
"""


def spangate(*words: str, environ: dict[str, str] | None = None) -> Result:
    return CliRunner(env=environ).invoke(main, words)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "routes.toml").write_text(GOOD)
    return tmp_path


@pytest.mark.parametrize("word", ["--version", "-V"])
def test_version(word: str) -> None:
    assert spangate(word).output == f"spangate {__version__}\n"


@pytest.mark.parametrize(
    ("env", "build"), [("0", r"compiled|plain Python: .+"), ("1", "plain Python: SPANGATE_PURE=1")]
)
def test_version_tells_what_runs(env: str, build: str) -> None:
    command = [sys.executable, "-m", "spangate", "version"]
    environ = {**os.environ, "SPANGATE_PURE": env}
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    python = rf"CPython {re.escape(platform.python_version())}"
    assert re.fullmatch(rf"spangate {re.escape(__version__)} \(({build}), {python}\)\n", ran.stdout)


@pytest.mark.parametrize("module", ["proxy", "spangate"])
def test_the_command_is_a_module_too(module: str) -> None:
    command = [sys.executable, "-m", module]
    ran = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout == f"spangate {__version__}\n"
    wrong = subprocess.run([*command, "chekc"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")


@pytest.mark.parametrize("command", [("check", "-"), ("explain", "-", "/ping")])
def test_a_dash_is_what_comes_on_stdin(command: tuple[str, ...]) -> None:
    good = CliRunner().invoke(main, command, input=GOOD)
    assert good.exit_code == 0
    assert "ok: 5 routes" in good.output or "<stdin>:30" in good.output
    bad = CliRunner().invoke(main, command, input="workers = 0\n" + GOOD)
    assert bad.exit_code == 1
    assert bad.output.startswith("<stdin>:1: workers: ")


def test_a_dash_is_read_once() -> None:
    with pytest.raises(ConfigError, match="run it from a file to reload it"):
        load(loads(GOOD, STDIN, {}).file, {})


def test_check_says_ok_in_one_line(folder: Path) -> None:
    result = spangate("check", "--strict")
    assert (result.exit_code, result.output) == (0, "ok: 5 routes, 2 upstreams\n")


def test_check_prints_every_error_and_fails(folder: Path) -> None:
    (folder / "bad.toml").write_text('workers = 0\n[[route]]\nto = "a"\ntimout = "2s"\n')
    result = spangate("check", "bad.toml")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "bad.toml:1: workers: expected a whole number >= 1",
        "bad.toml:3: route[0].to: there is no upstream 'a' (add [upstream.a])",
        "bad.toml:4: route[0].timout: unknown key (did you mean `timeout`?)",
    ]


def test_check_warns_about_routes_that_never_match(folder: Path) -> None:
    (folder / "routes.toml").write_text(SHADOWED)
    result = spangate("check")
    assert result.exit_code == 0
    warning, ok = result.output.splitlines()
    assert warning.startswith("routes.toml:11: warning: route[2]: never matches: route[0] first")
    assert ok == "ok: 3 routes, 0 upstreams"
    assert spangate("check", "--strict").exit_code == 1


def test_check_reads_the_environment(folder: Path) -> None:
    (folder / "routes.toml").write_text("workers = '${N}'\n[[route]]\nrespond = {}")
    assert spangate("check", environ={"N": "x"}).exit_code == 1
    assert spangate("check", environ={"N": "2"}).exit_code == 0


@pytest.mark.parametrize("command", [("check",), ("run",), ("explain", "GET", "/")])
def test_a_missing_file_is_told_by_its_name(folder: Path, command: tuple[str, ...]) -> None:
    (folder / "routes.toml").unlink()
    ran = subprocess.run(
        [sys.executable, "-m", "proxy", *command], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "routes.toml: file: cannot read it: No such file or directory" in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


def test_check_tells_what_goes_past_a_route_that_denies(folder: Path) -> None:
    """Servers that know path parameters serve /admin/y for it."""
    file = folder / "routes.toml"
    deny = '[[route]]\npath = "/admin/*"\nrespond = { status = 403 }\n'
    rest = '[[route]]\nname = "rest"\nto = "http://127.0.0.1:1"\n'
    file.write_text(deny + rest)
    told = spangate("check")
    assert told.exit_code == 0
    assert "warning: route[0]: /admin;x/y and /admin%2Fy and /ADMIN/y go past it to" in told.output
    assert 'path_parameters = "reject", encoded_slash = "reject", upper_case =' in told.output
    assert spangate("check", "--strict").exit_code == 1
    for said in ("reject", "keep"):
        keys = ("path_parameters", "encoded_slash", "upper_case")
        file.write_text(deny + rest + "".join(f'{key} = "{said}"\n' for key in keys))
        assert spangate("check", "--strict").exit_code == 0


def explained(*words: str) -> dict[str, list[str]]:
    """The output of explain as title -> lines."""
    result = spangate("explain", *words)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    sections: dict[str, list[str]] = {"exit": [str(result.exit_code)]}
    title = ""
    for line in result.output.splitlines():
        title = line[:11].strip() or title
        sections.setdefault(title, []).append(line[11:].strip())
    return sections


def test_explain_tells_the_route_and_what_follows(folder: Path) -> None:
    told = explained("GET", "http://shop.example:8080/api/%6Frders/7?x=1")
    assert told["exit"] == ["0"]
    assert told["request"] == ["GET /api/orders/7, host shop.example"]
    assert told["route"] == ["'orders' (routes.toml:11)"]
    assert told["captures"] == ["id = 7"]
    assert told["forwarded"] == ["GET /v2/7?x=1"]
    assert told["labels"] == ["env = prod", "team = shop"]
    assert told["why"][0] == "route[0] orders (/api/orders/{id}): matches"
    assert "http://10.0.0.1:8000  weight 3" in told["upstream"]
    assert told["upstream"][0] == "'stable', 90 of 100"
    force = [" ".join(line.split()) for line in told["upstream"]]
    assert "timeout 2s route 'orders' (routes.toml:16)" in force
    assert "connect_timeout 5s [defaults] (routes.toml:9)" in force
    assert "first_byte_timeout 1m built in" in force
    assert "idle_timeout 10s upstream 'stable' (routes.toml:42)" in force
    assert "baggage pass built in" in force and "context pass built in" in force
    assert any(line.startswith("retry 2 more") and "503" in line for line in force)


@pytest.mark.parametrize(
    "words",
    [
        ("/ping",),
        ("GET", "/ping"),
        ("routes.toml", "/ping"),
        ("./routes.toml", "/ping"),
        ("gate", "/ping"),
        ("gate", "http://a/ping"),
        ("gate", "GET", "/ping"),
    ],
)
def test_explain_takes_its_words_in_short(folder: Path, words: tuple[str, ...]) -> None:
    (folder / "gate").write_text(GOOD)
    told = explained(*words)
    assert told["exit"] == ["0"]
    assert told["request"][0].startswith("GET /ping")
    assert told["answer"] == ["200, fixed"]


def test_explain_tells_why_a_more_specific_route_did_not_match(folder: Path) -> None:
    told = explained("routes.toml", "POST", "http://a/api/orders/7")
    assert told["route"][0].startswith("'rest'")
    assert told["why"] == [
        "route[0] orders (/api/orders/{id}): method is POST, wanted GET",
        "route[1] rest (/api/*): matches",
    ]


@pytest.mark.parametrize(
    ("words", "title", "says"),
    [
        (("GET", "/moved/x?a=1"), "answer", "308, Location: https://example.com/x?a=1"),
        (("GET", "/ping"), "answer", "200, fixed"),
        (("GET", "/ping"), "sampling", "never: tracing.untraced has /ping"),
        (("GET", "/host", "-H", "Host: ONLY.example:80"), "sampling", "1 of new traces"),
        (("GET", "http://user@only.example/host"), "request", "host only.example"),
        (("GET", "only.example/host"), "forwarded", "GET /host"),
    ],
)
def test_explain_tells_other_ends(
    folder: Path, words: tuple[str, ...], title: str, says: str
) -> None:
    told = explained(*words)
    assert told["exit"] == ["0"]
    assert says in told[title][0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("GET", "/apix"), "404"),
        (("GET", "http://other/host"), "404"),
        (("GET", "/../a"), "400"),
        (("GET", "/%00"), "400"),
    ],
)
def test_explain_fails_where_no_route_answers(
    folder: Path, words: tuple[str, ...], says: str
) -> None:
    told = explained(*words)
    assert told["exit"] == ["1"]
    assert says in told["answer"][0]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("GET",),
        ("a", "GET", "/", "b"),
        ("GET", "/", "-H", "x"),
        ("GET", "/", "-H", "a: b\r\nc: d"),
    ],
)
def test_explain_asks_for_what_it_needs(folder: Path, words: tuple[str, ...]) -> None:
    result = spangate("explain", *words)
    assert result.exit_code == 2
    assert "Error:" in result.output


def test_schema_prints_json() -> None:
    assert json.loads(spangate("schema").output)["title"] == "Spangate routes.toml"


def test_the_shipped_example_is_in_order() -> None:
    result = spangate("check", "--strict", str(Path(__file__).parents[2] / "routes.toml"))
    assert (result.exit_code, result.output[:3]) == (0, "ok:")


def test_nothing_heavy_is_imported_before_a_command_is_known() -> None:
    code = "import sys, proxy.cli; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"aiohttp", "grpc", "google.protobuf", "msgspec", "asyncio", "proxy.config"}
    assert not set(ran.stdout.split()) & heavy


def test_the_example_is_the_repository_s_and_without_mistakes(tmp_path: Path) -> None:
    printed = spangate("example")
    assert printed.exit_code == 0
    assert printed.output == (Path(__file__).parents[2] / "routes.toml").read_text()
    file = tmp_path / "routes.toml"
    file.write_text(printed.output)
    assert spangate("check", "--strict", str(file)).exit_code == 0
