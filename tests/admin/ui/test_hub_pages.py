"""Map, Routes, Upstreams, Telemetry, Doctor and Configuration in a real browser, which is started
once; each test looks at one scene that it saw."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qsl

import pytest

from proxy.collector import books
from tests.admin.ui.browser import needed, scene, seen, visited
from tests.admin.ui.data import trace_id
from tests.admin.ui.server import serving

PATIENCE = 200.0  # seconds for all scenes together; a browser is slow beside other tests

pytestmark = needed(PATIENCE)

LOOKS = ("light", "dark", "phone")
TITLES = {
    "map": "Map",
    "routes": "Routes",
    "upstreams": "Upstreams",
    "telemetry": "Telemetry",
    "doctor": "Doctor",
    "config": "Configuration",
}
# Every reason for which the books say that telemetry is lost, and what a stranger's one may be.
REASONS = re.findall(r"^([a-z_]+)\s{2,}", books.__doc__ or "", re.MULTILINE)
OTHERS = ["permanent_http_400", "permanent_http_401", "permanent_grpc_internal", "constructor", ""]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return seen(tmp_path_factory, "hub_scenes", visit)


async def visit() -> dict[str, Any]:
    async with serving() as url:
        reasons = json.dumps([*REASONS, *OTHERS])
        return await visited("hub_pages.mjs", PATIENCE, url, reasons)


@pytest.mark.parametrize("look", LOOKS)
def test_each_page_is_for_everybody_and_does_what_no_stranger_says(
    scenes: dict[str, Any], look: str
) -> None:
    seen = scene(scenes, look)["seen"]
    assert {name: page["title"] for name, page in seen.items()} == {
        name: f"{title} · Spangate" for name, title in TITLES.items()
    }
    for name, page in seen.items():
        assert page["violations"] == [], name
        assert page["overflow"] <= 0, name
        assert page["hostile"], name  # the words are there, and do nothing:
        assert (page["hit"], page["acting"]) == (None, ""), name


def test_the_map_shows_rates_errors_and_where_the_trace_breaks(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "map")
    edges = seen["edges"]
    assert {"spangate>shop", "shop>orders", "orders>payments", "orders>stock"} <= edges.keys()
    assert all(part in edges["spangate>shop"]["text"] for part in ("42.5/s", "p99 48.2 ms"))
    failing, broken = edges["orders>payments"], edges["orders>stock"]
    assert "✕ 1.3/s failed" in failing["text"] and "failing" in failing["kind"].split()
    assert "⚠ trace lost" in broken["text"] and broken["dashes"] != "none"
    assert {edge["dashes"] for edge in edges.values() if edge is not broken} == {"none"}
    assert "/ui/traces?service=orders" in seen["nodes"]
    assert len(seen["nodes"]) == 6 and seen["rows"] == 5


def test_new_numbers_move_nothing_on_the_map(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "growing_map")
    assert seen["first"] == seen["second"] and len(seen["first"]) == 3
    assert seen["third"].keys() == {"a", "b", "c", "d"}


def test_a_large_map_shows_the_numbers_of_one_service(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "large_map")
    assert (seen["drawn"], seen["before"]) == (80, 0)
    assert seen["chosen"] == 4  # from s0, and to s4, s5, s6


def test_a_route_says_how_it_does_and_what_the_file_says(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "routes")
    assert all(part in seen["card"] for part in ("orders", "/orders/*", "103/s", "p99", "Last hit"))
    assert 'name = "orders"' in seen["said"] and "20" in seen["said"]
    assert "2 more" in seen["said"] and "503" in seen["said"]
    assert "/ui/upstreams?q=shop-canary" in seen["links"]
    assert "/ui/traces?route=shop" in seen["links"]


def test_a_request_is_explained(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "routes")
    assert parse_qsl(seen["query"][1:]) == [
        ("method", "POST"),
        ("url", "/shop/1"),
        ("header", "x: 1"),
        ("header", "y: 2"),
    ]
    assert "route      'shop' (routes.toml:12)" in seen["told"]
    assert seen["address"] == "/orders/"


def test_of_thousands_of_routes_some_are_drawn_and_each_is_found(scenes: dict[str, Any]) -> None:
    assert scene(scenes, "many_routes")["drawn"] == 200


def test_endpoints_are_drained_and_taken_back(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "upstreams")
    assert [state.strip() for state in seen["states"]] == ["up", "ejected", "down", "up", "up"]
    assert "5 answers of 5xx in a row" in seen["whys"] and "connection refused" in seen["whys"]
    assert seen["drained"].strip() == "drained"
    assert "last one that is up" in seen["warned"]


def test_what_may_not_be_changed_says_what_to_do(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "upstreams")
    assert seen["disabled"] == 5
    assert "write token in [admin]" in seen["described"]


def test_pipelines_are_a_graph_and_losses_have_remedies(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "telemetry")
    assert len(seen["nodes"]) == 6
    assert any("otlp_http/tempo" in n and "queue 7 MiB of 8 MiB" in n for n in seen["nodes"])
    assert "r gateway>p traces 0>traces" in seen["edges"]
    assert "r gateway>e otlp_http/tempo>metrics" in seen["edges"]
    assert len(seen["losses"]) == 3
    assert "812 traces" in seen["losses"][0] and "larger queue" in seen["losses"][0]
    assert "71 traces (sampled" in seen["text"] and "503 from http://tempo:4318" in seen["text"]


def test_each_reason_of_the_books_has_words_and_a_remedy(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "library")
    assert len(REASONS) > 10
    assert set(REASONS) - {"permanent_…", "sampled"} <= set(seen["known"])
    for reason in (*REASONS, *OTHERS):
        told = seen["whys"][reason]
        assert told["remedy"] and (told["words"] or not reason)
        assert told["meant"] == (reason in ("sampled", "filtered"))
    assert "http 400" in seen["whys"]["permanent_http_400"]["words"]
    assert "credentials" in seen["whys"]["permanent_http_401"]["remedy"]


def test_findings_name_their_traces_and_the_remedy(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "doctor")
    first, second = seen["findings"]
    assert all(part in first for part in ("stock", "Drops the trace context", "sure, 97 %"))
    assert "opentelemetry-instrument" in first and "and 4 more" in first
    assert "Some new kind" in second and "possible, 55 %" in second
    assert seen["evidence"][0] == f"/ui/trace/{trace_id(0)}"
    assert seen["checks"] >= 5
    assert scene(scenes, "library")["kinds"] == [
        "Drops the trace context",
        "Some new kind",
        "Constructor",
    ]


def test_reloads_are_told_with_what_they_changed(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "config")
    refused, now, before = seen["history"]
    assert "refused" in refused and "did you mean `path`?" in refused
    assert "in force now" in now and "Generation 4" in now
    assert "taken" in before
    assert ["less", '-path = "/shop"'] in seen["diff"]
    assert ["more", '+timeout = "5s"'] in seen["diff"]
    assert "Only after a restart: workers, admin.listen" in seen["text"]
    assert "The last reload failed." in seen["text"]


def test_settings_are_a_tree_that_is_drawn_as_it_is_opened(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "config")
    assert (seen["drawn"], seen["more"]) == (50, 200)


def test_a_keyboard_is_enough(scenes: dict[str, Any]) -> None:
    for name, stops in scene(scenes, "keyboard")["stops"].items():
        assert all(stop["ring"] for stop in stops), (name, stops)
        assert len({stop["name"] for stop in stops}) >= 2, (name, stops)
