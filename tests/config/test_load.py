"""routes.toml as a whole: what it becomes, and what is said about one that cannot be used."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.load import Loaded, load, loads
from proxy.config.model import Health, Listener, Retry
from proxy.errors import ConfigError, Problem
from proxy.hub.sockets import split_address

ROUTE = '[[route]]\nto = "http://127.0.0.1:8000"\n'

DESIGN = """
listen = ":8080"

[tracing]
sample  = 0.10
extract = ["w3c", "b3"]
inject  = ["w3c", "b3multi"]
trust   = ["10.0.0.0/8"]

[export]
otlp = "grpc://localhost:4317"

[admin]
listen = "127.0.0.1:9901"

[[route]]
name    = "orders"
path    = "/api/orders/{id}"
to      = "orders"
timeout = "2s"
retry   = { times = 2, on = [503] }
labels  = { team = "shop" }

[[route]]
name     = "search"
host     = "*.example.com"
path     = "/old/*"
when     = { method = ["GET", "POST"], header = { x-beta = "1" }, query = { v = "2" } }
rewrite  = { strip = "/old" }
headers  = { request = { set = { x-team = "shop" }, remove = ["x-debug"] } }
trace    = { sample = 1.0 }
to       = { orders = 90, canary = 10 }

[[route]]
path     = "/moved"
redirect = { to = "https://example.com/new", status = 308 }

[[route]]
path     = "/ping"
respond  = { status = 200, body = "pong" }

[upstream.orders]
health  = { path = "/healthz", every = "5s" }
servers = { "http://10.0.0.1:8000" = 90, "http://10.0.0.2:8000" = 10 }

[upstream.canary]
servers = ["http://[::1]:8000"]
"""


def problems(text: str, environ: dict[str, str] | None = None) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        loads(text, "routes.toml", environ or {})
    return caught.value.problems


def warnings(text: str) -> list[str]:
    return [f"{p.key}: {p.message}" for p in loads(text, "routes.toml", {}).warnings]


def test_the_example_of_the_design_loads_without_a_word() -> None:
    loaded = loads(DESIGN, "routes.toml", {})
    config = loaded.config
    assert loaded.warnings == []
    assert config.listen == [Listener(address=":8080")]
    assert config.export.otlp == ["grpc://localhost:4317"]
    orders, search, moved, _ = config.route
    assert orders.to == {"orders": 1}
    assert orders.timeout == 2.0
    assert orders.retry == Retry(times=2, on=[503])
    assert search.host == ["*.example.com"]
    assert search.to == {"orders": 90, "canary": 10}
    assert moved.name == "/moved"
    assert config.upstream["canary"].servers == {"http://[::1]:8000": 1}


NOTHING = {
    "empty": "",
    "a byte order mark": "\ufeff",
    "blank lines": "\n \t\r\n",
    "comments": "# [[route]]\n# path = '/'\n",
    "no routes": 'listen = ":80"\n[export]\notlp = "grpc://localhost:4317"\n',
    "a list of none": "route = []",
    "upstreams alone": '[upstream.u]\nservers = "http://a"\n',
}


@pytest.mark.parametrize("text", NOTHING.values(), ids=NOTHING)
def test_a_file_that_says_nothing_to_do_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        load(str(file), {})
    (problem,) = refused.value.problems
    assert (problem.key, problem.file) == ("route", str(file))
    assert "[[route]]" in problem.remedy and "[collector]" in problem.remedy


def test_a_collector_alone_is_something_to_do() -> None:
    assert loads("[collector]", "routes.toml", {}).config.route == []


@pytest.mark.parametrize(
    ("written", "addresses"),
    [
        ('listen = ":80"', [":80"]),
        ('listen = [":80", "[::1]:81"]', [":80", "[::1]:81"]),
        ("listen = 80", [":80"]),
        ('listen = "80"', [":80"]),
        ('listen = [80, "81", "${ADDRESS:-82}"]', [":80", ":81", ":82"]),
        ("[[listen]]\naddress = 80", [":80"]),
        ("[listen]\naddress = 80", [":80"]),
        ('[[listen]]\naddress = ":80"\n[[listen]]\naddress = ":81"\nname = "b"', [":80", ":81"]),
    ],
)
def test_listeners_may_be_written_in_several_ways(written: str, addresses: list[str]) -> None:
    config = loads(f"{written}\n{ROUTE}", "f", {}).config
    assert [listener.address for listener in config.listen] == addresses


def test_a_route_may_name_a_server_instead_of_an_upstream() -> None:
    text = "".join(
        f'[[route]]\npath = "/{i}"\nto = "{url}"\n'
        for i, url in enumerate(["http://10.0.0.1:8000", "http://10.0.0.1:8000", "http://[::1]:1"])
    )
    config = loads(text, "f", {}).config
    assert [r.to for r in config.route] == [{"10.0.0.1-8000": 1}, {"10.0.0.1-8000": 1}, {"1-1": 1}]
    assert config.upstream["10.0.0.1-8000"].servers == {"http://10.0.0.1:8000": 1}


def test_a_server_by_url_never_takes_the_name_of_another_upstream() -> None:
    text = '[[route]]\nto = { "http://a" = 1, a = 1 }\n[upstream.a]\nservers = "http://b"\n'
    config = loads(text, "f", {}).config
    assert config.route[0].to == {"a-2": 1, "a": 1}
    assert config.upstream["a"].servers == {"http://b": 1}


@pytest.mark.parametrize("place", ["defaults", "route", "upstream"])
def test_retry_may_be_a_number(place: str) -> None:
    head = {"defaults": "[defaults]", "route": "[[route]]\nto = 'u'", "upstream": "[upstream.u]"}
    tables = {"route": "[[route]]\nto = 'u'", "upstream": "[upstream.u]\nservers = 'http://a'"}
    tables[place] = head[place] + "\nretry = 3\n" + ("servers = 'http://a'" * (place == "upstream"))
    config = loads("\n".join(tables.values()), "f", {}).config
    found = {
        "defaults": config.defaults.retry,
        "route": config.route[0].retry,
        "upstream": config.upstream["u"].retry,
    }
    assert found[place] == Retry(times=3)


def test_a_route_alone_may_be_a_plain_table() -> None:
    text = '[route]\npath = "/a"\ntimeout = "2s"\nto = "http://a"\n[route.when]\nmethod = "GET"\n'
    loaded = loads(text, "f", {})
    (route,) = loaded.config.route
    assert (route.path, route.when.method, loaded.warnings) == ("/a", ["GET"], [])
    assert loaded.where(("route", 0, "timeout")) == "f:3"
    (problem,) = problems(text.replace('"2s"', "2"))
    assert (problem.key, problem.line) == ("route.timeout", 3)


@pytest.mark.parametrize(
    ("short", "long", "key"),
    [
        ('redirect = "/d"', 'redirect = { to = "/d" }', "redirect"),
        ('redirect = "${X:-/d}"', 'redirect = { to = "/d" }', "redirect"),
        ('respond = "no"', 'respond = { body = "no" }', "respond"),
        ("respond = 204", "respond = { status = 204 }", "respond"),
    ],
)
def test_what_a_route_does_may_be_one_value(short: str, long: str, key: str) -> None:
    made = [loads(f"[route]\n{text}", "f", {}).config.route for text in (short, long)]
    assert made[0] == made[1]
    faulty = short.replace('"no"', "true").replace("/d", "d").replace("204", "99")
    assert [p.key for p in problems(f"[route]\n{faulty}")] == [f"route.{key}"]


def test_an_upstream_may_be_its_servers_alone() -> None:
    text = '[route]\nto = "a"\n[upstream]\na = "http://a"\nb = ["http://b", "http://c"]\n'
    loaded = loads(text, "f", {})
    servers = {name: list(u.servers) for name, u in loaded.config.upstream.items()}
    assert servers == {"a": ["http://a"], "b": ["http://b", "http://c"]}
    (problem,) = [p for p in problems(text.replace('"http://c"', '"c:1"')) if not p.warning]
    assert (problem.key, problem.line) == ("upstream.b[1]", 5)


def test_a_health_check_may_be_a_path_alone() -> None:
    text = '[route]\nto = "u"\n[upstream.u]\nservers = "http://a"\nhealth = "/up"'
    assert loads(text, "f", {}).config.upstream["u"].health == Health(path="/up")
    (problem,) = problems(text.replace("/up", "up"))
    assert (problem.key, problem.line) == ("upstream.u.health", 5)


def test_routes_without_a_name_are_called_by_their_path_and_stay_distinct() -> None:
    text = "".join('[[route]]\npath = "/a"\nrespond = {}\n' for _ in range(3))
    names = [route.name for route in loads(text, "f", {}).config.route]
    assert names == ["/a", "/a#2", "/a#3"]


def test_all_mistakes_are_told_at_once_each_with_its_line() -> None:
    text = """listen = [":8080", ":80x"]
[tracing]
sample = 10
exract = ["w3c"]
[[route]]
to = "ordrs"
timout = "2s"
[[route]]
path = "/x/*"
to = "ftp://10.0.0.1"
timeout = 5
labels = { team = 3 }
[upstream.orders]
servers = ["http://a/x"]
"""
    assert [(p.line, p.key, p.remedy) for p in problems(text) if not p.warning] == [
        (1, "listen[1]", ""),
        (3, "tracing.sample", ""),
        (4, "tracing.exract", "did you mean `extract`?"),
        (6, "route[0].to", "did you mean `orders`?"),
        (7, "route[0].timout", "did you mean `timeout`?"),
        (10, "route[1].to", ""),
        (11, "route[1].timeout", ""),
        (12, "route[1].labels.team", 'write it in quotes: "3"'),
        (14, "upstream.orders.servers[0]", ""),
    ]


def test_a_problem_is_printed_as_editors_read_it() -> None:
    (problem,) = problems("[tracing]\nsample = 10\n" + ROUTE)
    assert str(problem) == (
        "routes.toml:2: tracing.sample: 10 is not a share from 0 to 1, did you mean 0.1?"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = \n", 2),
        ("a = 1\na = 2\n", 2),
        ("[[route]\n", 1),
        ("a = " + "[" * 3000, 0),
        ("a = " + "9" * 5000, 0),
        ("a." * 3000 + "b = 1", 0),
    ],
    ids=["value", "twice", "bracket", "deep", "digits", "dots"],
)
def test_what_is_not_toml_is_a_problem_like_others(text: str, line: int) -> None:
    (problem, *_) = problems(text)
    assert (problem.file, problem.line) == ("routes.toml", line)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("route = 3", "route"),
        ("route = [3]\nupstream = []", "route[0]"),
        ("[route.x]\nto = 'x'", "route"),
        ("listen = true", "listen"),
        ("listen = [{}]", "listen[0]"),
        ("listen = []", "listen"),
        ("workers = 0", "workers"),
        ("workers = 'all'", "workers"),
        ("workers = 100000", "workers"),
        ("tracing = 1979-05-27", "tracing"),
        ("export = []", "export"),
        ("resource = { a = [] }", "resource.a"),
        ("access_log = { stdout = 'yes' }", "access_log.stdout"),
        ("upstream.'a b'.servers = 'http://a'", 'upstream."a b"'),
        ("upstream.a.servers = [1]", "upstream.a.servers"),
        ("upstream.a.servers = { 'http://a' = 0 }", 'upstream.a.servers."http://a"'),
        ("limits.body = '10'", "limits.body"),
        ("limits.body = '" + "9" * 400 + "GiB'", "limits.body"),
        ("defaults.timeout = '" + "9" * 400 + "h'", "defaults.timeout"),
        ("defaults.timeout = true", "defaults.timeout"),
        ("tracing.sample = nan", "tracing.sample"),
        ("tracing.extract = ['w3', 'b3']", "tracing.extract[0]"),
    ],
)
def test_values_of_the_wrong_type_are_problems(text: str, key: str) -> None:
    assert key in [p.key for p in problems(text)]


def test_a_broken_value_does_not_cause_further_complaints() -> None:
    text = '[[route]]\nto = 5\n[upstream.u]\nservers = "http://a"\n'
    assert [p.key for p in problems(text)] == ["route[0].to"]


def test_a_file_is_read_with_its_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_bytes(b"\xef\xbb\xbf[tracing]\r\nsample = 0.5\r\n" + ROUTE.encode())
    loaded = load(str(file), {})
    assert loaded.config.tracing.sample == 0.5
    assert loaded.where(("tracing", "sample")) == f"{file}:2"


@pytest.mark.parametrize("content", [None, b"a = '\xff'"])
def test_an_unreadable_file_is_a_problem(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "routes.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(str(file), {})
    assert [p.file for p in caught.value.problems] == [str(file)]


@given(st.text(max_size=200))
def test_any_text_loads_or_says_what_is_wrong_in_which_file(text: str) -> None:
    _loads_or_explains(text)


KEYS = ["route", "to", "path", "listen", "upstream", "servers", "export", "tracing", "when", "x"]
LITERALS = [
    *("true", "1", "-1", "0.5", "'/a'", "'u'", "'http://a'", "'2s'", "[]", "{}", "['a', 1]"),
    *("{ a = 1 }", "'${A}'", "'${file:nothing}'", "'$${'", "'${'", "1979-05-27", "inf", "[[1]]"),
    *("'~('", "'/*'", "'/{id}'"),
]
VALUES = st.one_of(
    st.sampled_from(LITERALS),
    st.text(string.printable, max_size=8).map(lambda s: "'" + s.replace("'", "") + "'"),
)
LINES = st.one_of(
    st.sampled_from(
        ["[[route]]", "[upstream.u]", "[export]", "[tracing]", "[[listen]]", "[limits]"]
    ),
    st.builds("{} = {}".format, st.lists(st.sampled_from(KEYS), min_size=1).map(".".join), VALUES),
)


@given(st.lists(LINES, max_size=8).map("\n".join))
def test_any_toml_loads_or_says_what_is_wrong_in_which_file(text: str) -> None:
    _loads_or_explains(text)


def _loads_or_explains(text: str) -> None:
    try:
        loaded = loads(text, "routes.toml", {})
    except ConfigError as error:
        assert any(not p.warning for p in error.problems)
        assert all(p.file == "routes.toml" and p.key and p.message for p in error.problems)
    else:
        assert isinstance(loaded, Loaded)
        assert all(p.warning for p in loaded.warnings)


def test_listeners_that_take_any_port_are_told_apart() -> None:
    text = 'listen = [":0", "127.0.0.1:0", ":0", ":8080", ":0"]\n[[route]]\nrespond = 200\n'
    listeners = loads(text, "routes.toml", {}).config.listen
    addresses = [listener.address for listener in listeners]
    assert addresses == [":0", "127.0.0.1:0", ":00", ":8080", ":000"]
    assert {split_address(address)[1] for address in addresses} == {0, 8080}


def test_a_table_of_ours_that_is_misspelt_is_told_once(tmp_path: Path) -> None:
    """What stands in it has its right name, and is no other program's word."""
    file = tmp_path / "routes.toml"
    file.write_text('lisen = [{ address = ":8080" }]\n[[route]]\nrespond = 204\n')
    with pytest.raises(ConfigError) as raised:
        load(str(file), {})
    assert [str(problem) for problem in raised.value.problems] == [
        f"{file}:1: lisen: unknown key (did you mean `listen`?)"
    ]


def test_tables_that_say_the_same_are_wrong_each_at_its_own_place() -> None:
    table = '[upstream.{}]\nservers = "http://a"\ntimeout = "9q"\nhealth = {{ paht = "/" }}\n'
    with pytest.raises(ConfigError) as caught:
        loads(table.format("one") + table.format("two"), "routes.toml", {})
    problems = {(problem.key, problem.line) for problem in caught.value.problems}
    assert {("upstream.one.timeout", 3), ("upstream.two.timeout", 7)} <= problems
    assert {("upstream.one.health.paht", 4), ("upstream.two.health.paht", 8)} <= problems


def test_what_came_from_outside_is_known_in_each_of_tables_that_say_the_same() -> None:
    table = '[upstream.{}]\nservers = "http://a"\ntls.server_name = "${{NAME}}"\n'
    loaded = loads(ROUTE + table.format("one") + table.format("two"), "x.toml", {"NAME": "n"})
    places = {("upstream", name, "tls", "server_name") for name in ("one", "two")}
    assert places <= set(loaded.expanded)
