"""References to the environment and to files in values."""

from __future__ import annotations

from pathlib import Path

import pytest

from proxy.config.load import load, loads
from proxy.errors import ConfigError

ROUTE = '[[route]]\nto = "http://127.0.0.1:8000"\n'


def label(written: str, environ: dict[str, str]) -> str:
    """What becomes of `written` as the value of a label."""
    return loads(f"labels.x = '{written}'\n{ROUTE}", "routes.toml", environ).config.labels["x"]


@pytest.mark.parametrize(
    ("written", "environ", "value"),
    [
        ("${A}", {"A": "1"}, "1"),
        ("x-${A}-${B}", {"A": "1", "B": "2"}, "x-1-2"),
        ("${A}", {"A": ""}, ""),
        ("${A:-b}", {}, "b"),
        ("${A:-b}", {"A": ""}, "b"),
        ("${A:-b}", {"A": "c"}, "c"),
        ("${A:-}", {}, ""),
        ("${A:-http://x:1/?a=b}", {}, "http://x:1/?a=b"),
        ("${env:A}", {"A": "1"}, "1"),
        ("${env:A:-b}", {}, "b"),
        ("$${A}", {"A": "1"}, "${A}"),
        ("$$", {}, "$"),
        ("a$", {}, "a$"),
        ("$A", {"A": "1"}, "$A"),
        ("${A}", {"A": "${B}"}, "${B}"),
    ],
)
def test_references_expand_once(written: str, environ: dict[str, str], value: str) -> None:
    assert label(written, environ) == value


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("${A}", "environment variable A is not set"),
        ("${A", "without"),
        ("${}", "names no variable"),
        ("${A-b}", "names no variable"),
        ("${A}${A}", "environment variable A is not set"),
        ("${file:nothing-here}", "cannot read 'nothing-here': No such file"),
        ("${file:.}", "cannot read '.'"),
    ],
)
def test_references_that_lead_nowhere_are_problems_with_line_and_key(
    written: str, says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(f"{ROUTE}\n[labels]\nx = '{written}'", "routes.toml", {})
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (5, "labels.x")
    assert says in problem.message


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("${PORT-80}", "write ${PORT:-80}"),
        ("${PORT:80}", "write ${PORT:-80}"),
        ("${PORT:?unset}", "write ${PORT:-unset}"),
        ("${env.PORT}", "write ${PORT}"),
        ("${env:PORT:80}", "write ${PORT:-80}"),
        ("${PORT}", "set it, or give a default: ${PORT:-…}"),
        ("${env:PORT}", "set it, or give a default: ${PORT:-…}"),
        ("${1}", "write ${NAME}, ${NAME:-default} or ${file:/path}"),
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        "listen = 'X'",
        "listen = [':1', 'X']",
        "workers = 'X'",
        "drain_timeout = 'X'",
        "admin.listen = 'X'",
        "export.otlp = 'X'",
        "export.headers = { a = 'X' }",
        "collector = { exporters = { otlp_http = { endpoint = 'X' } } }",
        "collector = { exporters = 'X' }",
        "[[route]]\npath = 'X'\nto = 'http://b'",
        "[[route]]\npath = '/b'\nto = 'X'",
        "[[route]]\npath = '/b'\nto = { X = 1 }",
        "[[route]]\npath = '/b'\nhost = 'X'\nto = 'http://b'",
        "[[route]]\npath = '/b'\nredirect = 'X'",
        "[[route]]\npath = '/b'\nrespond = { status = 'X' }",
        "[[route]]\npath = '/b'\nto = 'http://b'\nretry = 'X'",
        "[[route]]\npath = '/b'\nto = 'b'\n[upstream.b]\nservers = 'X'",
        "[[route]]\npath = '/b'\nto = 'b'\n[upstream.b]\nservers = ['http://b', 'X', 'X']",
        "[[route]]\npath = '/b'\nto = 'b'\n[upstream.b]\nservers = { X = 1 }",
        "[[route]]\npath = '/b'\nto = 'b'\n[upstream.b]\nservers = 'http://b'\nhealth = 'X'",
    ],
)
def test_a_reference_that_leads_nowhere_is_all_that_is_told(
    place: str, written: str, remedy: str
) -> None:
    text = place.replace("{ X =", f'{{ "{written}" =').replace("'X'", f"'{written}'")
    with pytest.raises(ConfigError) as caught:
        loads(f"{text}\n{ROUTE}", "routes.toml", {})
    assert {p.remedy for p in caught.value.problems} == {remedy}
    assert len(caught.value.problems) == place.count("X")


@pytest.mark.parametrize(
    ("written", "field", "value"),
    [
        ("workers = '${N}'", "workers", 3),
        ("tracing.sample = '0.${N}'", "tracing.sample", 0.3),
        ("drain_timeout = '${N}s'", "drain_timeout", 3.0),
        ("access_log.stdout = '${YES}'", "access_log.stdout", True),
        ("defaults.retry = '${N}'", "defaults.retry.times", 3),
        ("listen = ':808${N}'", "listen.0.address", ":8083"),
    ],
)
def test_a_reference_may_stand_for_any_type(written: str, field: str, value: object) -> None:
    found: object = loads(f"{written}\n{ROUTE}", "f", {"N": "3", "YES": "true"}).config
    for step in field.split("."):
        found = found[int(step)] if isinstance(found, list) else getattr(found, step)
    assert found == value


def test_numbers_in_quotes_stay_an_error_where_no_reference_is() -> None:
    with pytest.raises(ConfigError):
        loads(f'workers = "3"\n{ROUTE}', "f", {})


def test_servers_are_values_although_they_stand_as_keys() -> None:
    text = '[[route]]\nto = "u"\n[upstream.u]\nservers = { "http://${H}:1" = 2 }\n'
    config = loads(text, "f", {"H": "db"}).config
    assert config.upstream["u"].servers == {"http://db:1": 2}


@pytest.mark.parametrize(
    ("content", "value"), [("s3\n", "s3"), ("s3\r\n", "s3"), ("s3", "s3"), ("a\n\n", "a\n")]
)
def test_files_are_beside_the_configuration_and_lose_their_last_newline(
    tmp_path: Path, content: str, value: str
) -> None:
    (tmp_path / "secret").write_text(content, newline="")
    (tmp_path / "routes.toml").write_text(f'labels.x = "${{file:secret}}"\n{ROUTE}')
    assert load(str(tmp_path / "routes.toml"), {}).config.labels == {"x": value}


def test_a_file_that_cannot_be_a_secret_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x" * 70_000)
    text = f'labels.x = "${{file:{tmp_path}/secret}}"\n{ROUTE}'
    with pytest.raises(ConfigError, match="longer than"):
        loads(text, "f", {})


def test_problems_do_not_show_what_a_secret_file_holds(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    text = f'export.otlp = "${{file:{tmp_path}/secret}}"\nworkers = "${{file:{tmp_path}/secret}}"\n'
    text += (
        '[[route]]\nto = "http://a"\nrewrite = { path = "${file:' + str(tmp_path) + '/secret}" }'
    )
    with pytest.raises(ConfigError) as caught:
        loads(text, "f", {})
    assert len(caught.value.problems) == 3
    assert "hunter2" not in str(caught.value)


def test_a_variable_that_is_not_text_is_a_problem() -> None:
    with pytest.raises(ConfigError, match="A is not UTF-8"):
        label("${A}", {"A": "\udcff"})
