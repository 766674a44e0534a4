"""What sources say beside a file: what wins, what is refused, and where messages say it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from proxy.config.load import Loaded, loads
from proxy.errors import ConfigError
from proxy.sources.source import Given
from tests.server import tls_kit

FILE = """
listen = ":8080"
{sources}
[[route]]
name = "shop"
path = "/shop"
to = "pay"
[upstream.pay]
servers = "http://a:1"
"""
ETCD = '[source.etcd]\nservers = ["http://127.0.0.1:2379"]\n'
BOTH = ETCD + "[source.consul]\n"
PLACES = {("route", 0): "etcd key /r", ("upstream", "pay"): "etcd key /u"}


def load(sources: str = ETCD, **given: Given) -> Loaded:
    return loads(FILE.format(sources=sources), "routes.toml", {"HOME": "/secret"}, given=given)


def problems(sources: str = ETCD, **given: Given) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(sources, **given)
    return [str(problem) for problem in caught.value.problems if not problem.warning]


def names(loaded: Loaded) -> list[str]:
    return [route.name for route in loaded.config.route]


def test_routes_and_upstreams_stand_beside_those_of_the_file() -> None:
    given = Given("1", [{"path": "/x", "to": "more"}], {"more": {"servers": "http://b:1"}})
    loaded = load(etcd=given)
    assert names(loaded) == ["shop", "/x"]
    assert list(loaded.config.upstream) == ["pay", "more"]
    assert loaded.config.route[1].to == {"more": 1}
    assert loaded.warnings == []
    assert loaded.given == {"etcd": given}


def test_a_source_that_the_file_does_not_ask_for_says_nothing() -> None:
    assert names(load("", etcd=Given("1", [{"path": "/x", "respond": 204}]))) == ["shop"]


def test_the_file_wins_and_both_places_are_named() -> None:
    given = Given("1", [{"name": "shop", "to": "pay"}], {"pay": {"servers": "http://b:1"}})
    loaded = load(etcd=Given(given.version, given.routes, given.upstreams, places=PLACES))
    assert names(loaded) == ["shop"]
    assert loaded.config.upstream["pay"].servers == {"http://a:1": 1}
    assert [str(warning) for warning in loaded.warnings] == [
        "etcd key /u: warning: upstream.pay: upstream 'pay' is left out: routes.toml:10 has that"
        " name (give one of them another)",
        "etcd key /r: warning: route.shop: route 'shop' is left out: routes.toml:6 has that name"
        " (give one of them another)",
    ]


def test_of_two_sources_the_first_one_of_the_model_wins() -> None:
    one, other = ({"name": "x", "path": "/x", "respond": {"body": b}} for b in ("etcd", "consul"))
    loaded = load(BOTH, consul=Given("1", [other]), etcd=Given("1", [one]))
    respond = loaded.config.route[1].respond
    assert respond is not None and respond.body == "etcd"
    assert "source etcd has that name" in str(loaded.warnings[0])


def test_listeners_are_bound_beside_those_of_the_file() -> None:
    given = Given("1", listeners=[{"address": ":9090"}, {"address": ":8080"}])
    loaded = load(etcd=given)
    assert [listener.address for listener in loaded.config.listen] == [":8080", ":9090"]
    assert "routes.toml:2 has that address" in str(loaded.warnings[0])


def test_a_file_without_listeners_has_those_of_sources_alone() -> None:
    text = FILE.format(sources=ETCD).replace('listen = ":8080"', "")
    for listeners, addresses in (([], [":8080"]), ([{"address": ":9090"}], [":9090"])):
        given = {"etcd": Given("1", listeners=listeners)}
        loaded = loads(text, "routes.toml", {}, given=given)
        assert [listener.address for listener in loaded.config.listen] == addresses


@pytest.mark.parametrize("source", ['[source.xds]\nserver = "grpc://c:1"', "[source.kubernetes]"])
def test_nothing_is_bound_before_a_source_of_listeners_has_said_some(source: str) -> None:
    listening = [Given("1"), Given("1", listeners=[{"address": ":9090"}])]
    name = source.partition("]")[0].rpartition(".")[2]
    for given, addresses in zip(listening, ([], [":9090"]), strict=True):
        loaded = loads(source, "routes.toml", {}, given={name: given})
        assert [listener.address for listener in loaded.config.listen] == addresses


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "key": ({"path": "/x", "respond": 204, "tiemout": "2s"}, "etcd key /r: route.tiemout: unknown"),
    "value": ({"path": "x", "respond": 204}, "etcd key /r: route.path: 'x' must begin with"),
    "unit": ({"path": "/x", "to": "pay", "timeout": "9q"}, "etcd key /r: route.timeout: '9q' is"),
    "nothing": ({"path": "/x"}, "etcd key /r: route: a route says what to do exactly once"),
    "upstream": (
        {"path": "/x", "to": "lost"},
        "etcd key /r: route.to: there is no upstream 'lost'",
    ),
    "null": ({"path": None, "to": "pay"}, "etcd key /r: route.path: expected a string"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_has_the_place_that_the_source_names(case: str) -> None:
    table, said = WRONG[case]
    (problem,) = problems(etcd=Given("1", [table], places=PLACES))
    assert problem.startswith(said)


def test_a_deeper_place_is_named_where_the_source_knows_it() -> None:
    places = {("route", 0): "a.toml:1", ("route", 0, "timeout"): "a.toml:3"}
    table = {"path": "/x", "to": "pay", "timeout": "9q"}
    (problem,) = problems(etcd=Given("1", [table], places=places))
    assert problem.startswith("a.toml:3: route.timeout:")


def test_nothing_of_a_source_is_expanded() -> None:
    given = Given("1", [{"path": "/x", "respond": {"body": "${HOME} ${file:/etc/passwd}"}}])
    respond = load(etcd=given).config.route[1].respond
    assert respond is not None and respond.body == "${HOME} ${file:/etc/passwd}"


def test_tables_within_tables_have_an_end() -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    (problem, *_) = problems(etcd=Given("1", [{"path": "/x", "to": "pay", "labels": deep}]))
    assert "more than 32 tables within each other" in problem


def test_what_was_given_is_not_changed() -> None:
    table = {"path": "/x", "to": "pay", "host": "a.example"}
    load(etcd=Given("1", [table]))
    assert table == {"path": "/x", "to": "pay", "host": "a.example"}


def test_an_upstream_that_nobody_has_is_waited_for_where_a_source_may_give_it() -> None:
    text = FILE.format(sources=ETCD) + '[[route]]\npath = "/o"\nto = "orders"\nmirror = "shadow"\n'
    loaded = loads(text, "routes.toml", {})
    assert loaded.config.upstream["orders"].discover == "source"
    assert loaded.config.upstream["shadow"].discover == "source"
    assert "there is no upstream 'orders' until a source gives it" in str(loaded.warnings[0])
    consumer = """[messaging.kafka.bus]
brokers = ["127.0.0.1:9092"]
[[consume]]
from = "bus"
topics = ["orders"]
group = "billing"
to = "billing"
"""
    loaded = loads(FILE.format(sources=ETCD) + consumer, "routes.toml", {})
    assert loaded.config.upstream["billing"].discover == "source"
    given = Given("1", upstreams={n: {"servers": "http://b:1"} for n in ("orders", "shadow")})
    assert loads(text, "routes.toml", {}, given={"etcd": given}).warnings == []
    with pytest.raises(ConfigError):
        loads(text.replace(ETCD, ""), "routes.toml", {})


def test_a_route_of_a_source_waits_for_other_sources_alone() -> None:
    given = Given("1", [{"path": "/x", "to": "orders"}])
    assert load(BOTH, etcd=given).config.upstream["orders"].discover == "source"


def test_certificates_of_a_source(tmp_path: Path) -> None:
    cert, key = tls_kit.write(tmp_path, "shop", "shop.example")
    listener = {"address": ":8443", "tls": {"cert": "source:shop", "key": "source:shop"}}
    pair = ((tmp_path / cert).read_bytes(), (tmp_path / key).read_bytes())
    given = Given("1", listeners=[listener], certificates={"shop": pair})
    loaded = load(etcd=given)
    assert loaded.material.certified("source:shop", "source:shop").names == ["shop.example"]
    problem, _ = problems(etcd=Given("1", listeners=[listener], places={("listen", 0): "sds"}))
    assert problem.startswith("sds: listen.tls.cert: no source has certificate 'shop'")


SOURCES = [
    ("[source.etcd]\n", "no server is named"),
    ('[source.etcd]\nservers = ["127.0.0.1:2379"]\n', "is no URL of a server"),
    ('[source.etcd]\nservers = ["http://u:p@a:2379"]\n', "is no URL of a server"),
    ('[source.etcd]\nservers = ["http://a:1"]\nprefix = "x"\n', "is no prefix of keys"),
    ('[source.etcd]\nservers = ["http://a:1"]\nuser = "x"\n', "come together"),
    ('[source.consul]\nserver = "http://a:1/v1"\n', "is no URL of a server"),
    ('[source.xds]\nserver = "http://a:1"\n', "is no URL of a server"),
    ('[source.kubernetes]\nserver = "a:1"\n', "is no URL of a server"),
    ('[source.kubernetes]\nnamespaces = ["A"]\n', "is no name of a namespace"),
    ('[source.kubernetes]\ngateways = ["edge"]\n', "is no name of a Gateway"),
    ("[source.kubernetes]\nports = { http = 80 }\n", "are no two ports"),
    ("[source.kubernetes]\nports = { 80 = 70000 }\n", "are no two ports"),
    ('[source.kubernetes]\ncontroller = "spangate"\n', "has no domain"),
    ('[source.file]\npath = "conf.d/"\n', "no file is named"),
    ('[upstream.fed]\ndiscover = "source"\n', "there is no source that could say the servers"),
]


@pytest.mark.parametrize(("text", "said"), SOURCES)
def test_sources_that_cannot_be_asked(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
KEYS = st.sampled_from(["name", "path", "to", "host", "when", "retry", "rate", "respond", "mirror"])
TABLES = st.dictionaries(KEYS | st.text(max_size=5), VALUES, max_size=5)


@drawn(st.lists(TABLES, max_size=3), st.dictionaries(st.text(max_size=6), TABLES, max_size=3))
def test_any_tables_are_taken_or_refused(
    routes: list[dict[str, Any]], upstreams: dict[str, dict[str, Any]]
) -> None:
    try:
        load(etcd=Given("1", routes, upstreams, [*routes]))
    except ConfigError as error:
        assert error.problems
