"""The board: of Grafana's shape, the same again for the same gateway, links that go somewhere."""

from __future__ import annotations

import json
import re
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from proxy.cli import main
from proxy.dashboards.board import Links, admin_url, board, text_of
from tests.dashboards.kit import CONSUMES, HOSTILE, PUBLISHES, loaded, routes

SCHEMA = json.loads((Path(__file__).parent / "grafana.schema.json").read_text())
LINKS = Links("http://127.0.0.1:9901")


def made(text: str, links: Links = LINKS, file: str = "routes.toml") -> dict[str, Any]:
    return board(loaded(text, file), links)


def problems(dashboard: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return [f"{e.json_path}: {e.message}" for e in validator.iter_errors(dashboard)]


FILES = {
    "hostile": routes(*HOSTILE),
    "no slo": routes("a", slo=""),
    "one": routes("a"),
    "answers": "[[route]]\nrespond = 204\n",
    "latency alone": routes("a", slo='slo = { latency = "300ms" }'),
    "publishes": routes("a") + PUBLISHES,
    "consumes": routes("a") + CONSUMES,
}


@pytest.mark.parametrize("file", FILES)
def test_it_has_the_shape_that_grafana_publishes(file: str) -> None:
    dashboard = json.loads(text_of(made(FILES[file])))
    assert problems(dashboard) == []


def test_the_shape_is_worth_something() -> None:
    dashboard = made(FILES["one"])
    dashboard["panels"][1]["gridPos"]["w"] = 25
    dashboard["schemaVersion"] = "39"
    del dashboard["panels"][0]["collapsed"]
    assert len(problems(dashboard)) == 3


def test_panels_have_places_of_their_own() -> None:
    panels = made(FILES["hostile"])["panels"]
    ids = [panel["id"] for panel in panels]
    assert len(set(ids)) == len(ids)
    boxes = [panel["gridPos"] for panel in panels]
    assert all(box["x"] + box["w"] <= 24 for box in boxes)
    for a, b in combinations(boxes, 2):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert apart or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
    assert all(a["y"] <= b["y"] for a, b in pairwise(boxes))


def test_rows() -> None:
    rows = [p for p in made(FILES["one"])["panels"] if p["type"] == "row"]
    titles = ["Overview", "Objectives", "Route $route", "Upstreams"]
    titles += ["Saturation", "Telemetry", "Propagation"]
    assert [row["title"] for row in rows] == titles
    assert [row.get("repeat") for row in rows] == [None, None, "route", None, None, None, None]
    without = [p["title"] for p in made(FILES["no slo"])["panels"] if p["type"] == "row"]
    assert "Objectives" not in without


def test_queues_have_a_row_where_there_are_queues() -> None:
    def row(file: str) -> list[str]:
        panels = made(FILES[file])["panels"]
        titles = [(p["type"], p["title"]) for p in panels]
        if ("row", "Message queues") not in titles:
            return []
        after = titles[titles.index(("row", "Message queues")) + 1 :]
        return [t for _, t in after[: [kind for kind, _ in after].index("row")]]

    published = ["Published", "Not published, share", "Until brokers acknowledge"]
    consumed = ["Lag of consumers", "Processed", "Until messages are processed"]
    consumed += ["Tried again", "Dead letters"]
    assert row("one") == []
    assert row("publishes") == published
    assert row("consumes") == consumed
    found = {
        p["title"]: p["targets"][0]["expr"]
        for p in made(FILES["consumes"])["panels"][1:]
        if "targets" in p
    }
    assert "spangate_consumer_lag{" in found["Lag of consumers"]


def test_an_objective_has_its_budget_and_its_pace() -> None:
    panels = made(routes("shop"))["panels"]
    found = {p["title"]: p["targets"][0]["expr"] for p in panels if "shop" in p["title"]}
    assert found == {
        "shop: availability, budget left": "1 - spangate:route:error_ratio:rate30d"
        '{spangate_route="shop"} / 0.001',
        "shop: availability, burn rate": "spangate:route:error_ratio:rate5m"
        '{spangate_route="shop"} / 0.001',
        "shop: latency, budget left": "1 - spangate:route:slow_ratio:rate30d"
        '{spangate_route="shop"} / 0.01',
        "shop: latency, burn rate": "spangate:route:slow_ratio:rate5m"
        '{spangate_route="shop"} / 0.01',
    }


def test_of_many_routes_the_worst_are_shown_together() -> None:
    panels = made(routes(*(f"r{i}" for i in range(26))))["panels"]
    exprs = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    found = [expr for expr in exprs if "spangate:route:" in expr]
    assert found == [
        f'topk(20, spangate:route:{kind}_ratio:rate1h{{spangate_route=~"$route"}})'
        for kind in ("error", "slow")
    ]
    assert "Objectives of 26 routes" in [panel["title"] for panel in panels]


def test_an_import_updates_the_board_of_the_same_gateway() -> None:
    first = made(routes("a"), file="/etc/one/routes.toml")
    assert made(routes("a", "b"), file="routes.toml")["uid"] == first["uid"]
    assert made(routes("a"), file="other.toml")["uid"] != first["uid"]
    named = '[resource]\n"service.name" = "edge"\n'
    edge = made(named + routes("a"))
    assert edge["uid"] not in (first["uid"], "") and edge["title"] == "Spangate: edge"
    assert made(named + routes("b"), file="other.toml")["uid"] == edge["uid"]


def test_the_same_file_gives_the_same_bytes() -> None:
    assert text_of(made(FILES["hostile"])) == text_of(made(FILES["hostile"]))
    assert text_of(made(FILES["hostile"])).isascii()


def test_variables() -> None:
    found = {v["name"]: v for v in made(FILES["one"])["templating"]["list"]}
    assert list(found) == ["DS", "instance", "route", "admin"]
    assert (found["DS"]["type"], found["DS"]["query"]) == ("datasource", "prometheus")
    assert found["admin"]["query"] == "http://127.0.0.1:9901"
    sources = re.findall(r'"uid": "(\S+)"', text_of(made(FILES["one"]))[200:])
    assert set(sources) == {"${DS}"}


def test_a_trace_s_id_leads_to_the_trace() -> None:
    links = Links("http://gw:9901", "https://jaeger.example/trace/{trace_id}?a=1")
    panels = made(FILES["one"], links)["panels"]
    found = [
        (override["matcher"], prop["value"])
        for panel in panels
        for override in panel.get("fieldConfig", {}).get("overrides", ())
        for prop in override["properties"]
        if prop["id"] == "links"
    ]
    shown = [p for p in panels if any(t.get("exemplar") for t in p.get("targets", ()))]
    assert len(found) == len(shown) > 3
    for matcher, value in found:
        assert matcher == {"id": "byName", "options": "trace_id"}
        assert [link["url"] for link in value] == [
            "${admin:raw}/ui/trace/${__value.raw}",
            "https://jaeger.example/trace/${__value.raw}?a=1",
        ]


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:9901", "http://127.0.0.1:9901"),
        (":9000", "http://localhost:9000"),
        ("0.0.0.0:9000", "http://localhost:9000"),
        ("[::]:9000", "http://localhost:9000"),
        ("[::1]:9000", "http://[::1]:9000"),
        ("unix:/run/gw.sock", "http://127.0.0.1:9901"),
        ("", "http://127.0.0.1:9901"),
    ],
)
def test_where_the_admin_port_is(listen: str, url: str) -> None:
    text = f'[admin]\nlisten = "{listen}"\n{routes("a")}'
    assert admin_url(loaded(text).config) == url


def typed(*words: str, text: str = FILES["one"]) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(words), input=text)
    return result.exit_code, result.stdout, result.stderr


def test_what_is_typed_is_in_it() -> None:
    words = ("--title", "Edge", "--uid", "edge-1", "--admin-url", "https://gw.example/")
    code, out, err = typed("dashboard", "grafana", *words, "-")
    dashboard = json.loads(out)
    assert (code, err) == (0, "")
    assert (dashboard["title"], dashboard["uid"]) == ("Edge", "edge-1")
    assert dashboard["templating"]["list"][3]["query"] == "https://gw.example"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--uid", "a b"), "is no uid"),
        (("--uid", "a" * 41), "is no uid"),
        (("--admin-url", "javascript:alert(1)"), "is no URL"),
        (("--trace-url", "javascript:{trace_id}"), "is no URL"),
        (("--trace-url", "https://jaeger.example/"), "write {trace_id}"),
    ],
)
def test_what_cannot_be_is_refused(words: tuple[str, ...], told: str) -> None:
    code, out, err = typed("dashboard", "grafana", *words, "-")
    assert (code, out) == (2, "") and told in err


@pytest.mark.parametrize("words", [("dashboard", "grafana"), ("alerts", "prometheus")])
def test_a_file_that_is_wrong_is_told_on_stderr(words: tuple[str, str]) -> None:
    code, out, err = typed(*words, "-", text='[[route]]\nto = "nowhere"\nslow = 1\n')
    assert (code, out) == (1, "")
    assert "there is no upstream 'nowhere'" in err and "route[0].slow" in err


@pytest.mark.parametrize("group", ["dashboard", "alerts"])
def test_an_unknown_target_is_a_mistake_in_what_was_typed(group: str) -> None:
    code, _, err = typed(group, "nagios")
    assert code == 2 and "nagios" in err


@pytest.mark.parametrize("words", [("dashboard", "grafana"), ("alerts", "prometheus")])
def test_without_a_file_it_is_routes_toml(
    words: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert typed(*words)[0] == 1
    (tmp_path / "routes.toml").write_text(FILES["latency alone"])
    code, out, err = typed(*words)
    assert code == 0 and "slow_ratio" in out
    assert "300ms is no bound" in err
