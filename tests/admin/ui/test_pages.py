"""The pages in a real browser: it is started once, and each test looks at one scene it saw."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from tests.admin.ui.browser import needed, scene, seen, visited
from tests.admin.ui.data import trace_id
from tests.admin.ui.server import TOKEN, serving

# Seconds for all scenes together. They take 20 on two idle cores, and ten times that on busy ones.
PATIENCE = 280.0

pytestmark = needed(PATIENCE)

LOOKS = ("light", "dark", "phone")
TITLES = {
    "live": "Live",
    "traces": "Traces",
    "heat": "Traces",
    "trace": "Trace",
    "compare": "Compare",
}
HOST = {"url.scheme": "http", "server.address": "a.example", "url.path": "/x"}
# By attributes of a SERVER span: the words that a shell reads, or None where there is no command.
CURL: list[tuple[dict[str, Any], list[str] | None]] = [
    (HOST, ["http://a.example/x"]),
    ({**HOST, "server.port": 80, "url.query": "a=1&b={2}"}, ["http://a.example/x?a=1&b={2}"]),
    ({**HOST, "server.port": 8080}, ["http://a.example:8080/x"]),
    ({**HOST, "server.address": "::1", "server.port": 81}, ["http://[::1]:81/x"]),
    ({**HOST, "http.request.method": "HEAD"}, ["--head", "http://a.example/x"]),
    ({**HOST, "http.request.method": "POST"}, ["-X", "POST", "http://a.example/x"]),
    ({**HOST, "http.request.method": "a b; rm"}, ["http://a.example/x"]),
    ({**HOST, "url.path": "/'; touch x; '"}, ["http://a.example/';%20touch%20x;%20'"]),
    ({**HOST, "url.path": "/\x1b]0;x\x07\n\u202e"}, ["http://a.example/%1B]0;x%07%0A%E2%80%AE"]),
    ({**HOST, "user_agent.original": "it's\x1b[A\n"}, ["-A", "it's?[A?", "http://a.example/x"]),
    ({**HOST, "url.scheme": "javascript"}, None),
    ({"url.full": "javascript:alert(1)"}, None),
    ({"url.full": "https://b.example/$(id)`id`"}, ["https://b.example/$(id)`id`"]),
    ({}, None),
]
MS = {
    0: "0 ms", 0.25: "250 µs", 1.234: "1.23 ms", 45.67: "45.7 ms", 999: "999 ms",
    1500: "1.5 s", 185_000: "3 min 5 s", None: "–",
}  # fmt: skip
LINKS = {
    "https://a.example/x": "https://a.example/x",
    "http://a.example": "http://a.example/",
    "javascript:alert(1)": None,
    "data:text/html,x": None,
    "/ui/": None,
    "": None,
}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return seen(tmp_path_factory, "scenes", visit)


async def visit() -> dict[str, Any]:
    given = {
        "first": trace_id(0),
        "second": trace_id(1),
        "large": trace_id(5000),
        "cases": {"curl": [about for about, _ in CURL], "ms": list(MS), "links": list(LINKS)},
    }
    async with serving() as url, serving(token=TOKEN) as guarded:
        return await visited("pages.mjs", PATIENCE, url, guarded, json.dumps(given))


@pytest.mark.parametrize("look", LOOKS)
def test_each_page_is_shown_to_everybody_and_does_what_no_stranger_says(
    scenes: dict[str, Any], look: str
) -> None:
    seen = scene(scenes, look)["seen"]
    assert {name: page["title"] for name, page in seen.items()} == {
        name: f"{title} · Spangate"
        for name, title in TITLES.items()
        if name != "heat" or look == "light"
    }
    for name, page in seen.items():
        assert page["violations"] == [], name
        assert page["overflow"] <= 0, name
        assert (page["hit"], page["acting"]) == (None, ""), name


def test_light_and_dark_are_as_the_system_says(scenes: dict[str, Any]) -> None:
    light, dark = (scene(scenes, look)["seen"]["live"]["ground"] for look in ("light", "dark"))
    assert (light, dark) == ("rgb(244, 246, 250)", "rgb(11, 16, 27)")


def test_filters_narrow_what_is_shown_and_are_in_the_address(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "filters")["seen"]
    assert {name: seen[name]["address"] for name in seen if name != "search"} == {
        "route": "?route=orders",
        "path": "?path=%2Fshop%2F*",
        "method": "?method=post",
        "status": "?status=4xx",
        "errors": "?error=true",
        "least": "?min_ms=40",
    }
    assert all(path.startswith("/orders/") for path in seen["route"]["paths"])
    assert all(path.startswith("/shop/") for path in seen["path"]["paths"])
    assert seen["search"] == "?limit=250&error=true&min_ms=100000"


def test_two_thousand_requests_a_second_do_not_hold_the_page(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "flood")
    # While 4,000 came: a page that had to draw each of them would have drawn a few frames.
    assert seen["frames"] >= 20
    assert seen["drawn"] <= 60
    assert seen["paused"] == seen["still"]
    assert seen["missed"] == 1


def test_a_keyboard_is_enough(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "keyboard")
    assert seen["stops"][0]["name"] == "Skip to the page"
    assert seen["stops"][-1]["name"] == "Traces, newest first"
    assert all(stop["ring"] for stop in seen["stops"]), seen["stops"]
    assert (seen["marked"], seen["last"]) == (2, "101")
    assert seen["opened_trace"] == f"/ui/trace/{trace_id(0)}"
    asked = "spangate to → shop GET"
    assert seen["walk"] == [asked, "spangate GET /orders/{id}", asked, "spangate GET /shop/*"]
    assert (seen["open"], seen["folded"], seen["unfolded"]) == (6, 2, 6)
    assert seen["detail"]["role"] == "H2"


def test_a_trace_shows_its_phases_and_goes_elsewhere(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "trace")
    words = shlex.split(seen["curl"])
    address = "https://shop.example.com:8443/shop/orders/13?x=it's"
    assert words[-3:] == ["-A", "curl/8.5 (it's)", address]
    assert (seen["spans"], seen["otlp"]) == (7, {"resourceSpans": []})
    assert seen["name"] == f"trace-{trace_id(1)[:8]}.json"
    phases = {"queue", "connect", "first_byte", "transfer", "overhead"}
    assert {name.split()[-1] for name in seen["phases"]} == phases
    assert seen["critical"] == 8
    assert "exception.type" in seen["detail"] and "<script>window.hit=1</script>" in seen["detail"]
    assert "⟨U+202E⟩" in seen["detail"] and "⟨U+001B⟩" in seen["detail"]
    assert seen["shown"] == 1 << 20
    assert seen["outside"] == f"https://traces.example.com/{trace_id(1)}"


def test_of_five_thousand_spans_those_in_sight_are_drawn(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "large")
    assert 5 < seen["drawn"] < 60
    assert seen["hit"].endswith("step 3333")
    assert seen["last"].endswith("step 4998")


def test_of_fifty_thousand_rows_those_in_sight_are_drawn_and_stay_in_sight(
    scenes: dict[str, Any],
) -> None:
    seen = scene(scenes, "table")
    assert 5 < seen["drawn"] < 40
    assert (seen["last"], seen["above"]) == ("49999", 49990)
    assert seen["before"] == seen["after"]  # though two rows came in above


def test_two_traces_are_compared(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "compare")
    assert "6 pairs, 0 only in A, 1 only in B." in seen["text"]
    assert "+96 ms" in seen["text"] and "100 % slower" in seen["text"]
    assert "6 pairs, 1 only in A, 0 only in B." in seen["swapped"]
    assert "−96 ms" in seen["swapped"] and "50 % faster" in seen["swapped"]


def test_the_token_is_asked_for_once_and_kept_in_its_tab(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "token")
    assert (seen["asked"], seen["again"]) == ([], 0)
    assert seen["stored"] == [[TOKEN], [], ""]


def test_the_shell_finds_its_way(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "shell")
    # Style sheets alone are waited for before the first paint.
    assert seen["blocking"] and all(path.endswith(".css") for path in seen["blocking"])
    assert (seen["theme"], seen["current"]) == ("dark", ["Traces"])


def test_commands_links_and_numbers(scenes: dict[str, Any]) -> None:
    seen = scene(scenes, "library")
    for (about, words), command in zip(CURL, seen["curl"], strict=True):
        if words is None:
            assert command is None, about
        else:
            assert shlex.split(command) == ["curl", "--globoff", "--path-as-is", *words]
            assert command.isascii() and command.isprintable()
    assert seen["ms"] == list(MS.values())
    assert seen["links"] == list(LINKS.values())
    assert seen["event"] == {"event": "request", "data": "{\n}", "id": "7"}
    assert seen["comment"] is None
    pairs = [(None, "x"), ("a", "a"), (None, "y"), ("b", None), ("a", "a"), (None, "a")]
    assert [tuple(pair) for pair in seen["pairs"]] == pairs
