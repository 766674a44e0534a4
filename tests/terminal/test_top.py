"""`spangate top`: once in a pipe, live on a terminal."""

from __future__ import annotations

import json
import re
import signal
import threading

import pytest

from .kit import ACTING, DEADLINE, HOSTILE, Port, admin, ask, terminal
from .kit import uncoloured as plain


def route(
    name: str, rate: float, errors: float = 0.0, p99: float | None = 9.0
) -> dict[str, object]:
    return {
        "route": name,
        "rate": rate,
        "errors": errors,
        "p50_ms": None if p99 is None else 1.5,
        "p99_ms": p99,
        "requests": int(rate * 100),
        "failed": 0,
        "last_hit_unix_ms": None,
        "history": [[0, 0.0, 0, None, None], [1, rate, 0, None, None]],
    }


RATES = {
    "at_unix_ms": 1790000000123.0,
    "interval_s": 1.0,
    "total": {"rate": 130.5, "errors": 3.0, "p50_ms": 1.5, "p99_ms": 1200.0, "requests": 1234567},
    "routes": [route("b", 10.0, 2.0, 50.0), route("a", 120.0, 0.0, 0.25),
               route("idle", 0, 0, None)],
    "upstreams": [{"upstream": "shop", "rate": 90.0, "errors": 0, "p50_ms": 1, "p99_ms": 2,
                   "requests": 9}],
}  # fmt: skip


def test_in_a_pipe_it_is_told_once() -> None:
    with admin() as told:
        told.answers["/api/rates"] = (200, RATES)
        result = ask(told, "top")
    assert result.exit_code == 0
    lines = [re.split(r"  +", line) for line in result.output.splitlines()]
    assert lines[0][1:] == ["130 requests/s", "3.0 errors/s", "p50 1.5 ms", "p99 1.20 s",
                            "1,234,567 since the start"]  # fmt: skip
    assert lines[2] == ["a", "120", "0.0", "1.5 ms", "250 µs", "12,000", "▁█"]
    assert lines[3] == ["b", "10.0", "2.0", "20.0 %", "1.5 ms", "50.0 ms", "1,000", "▁█"]
    assert lines[4] == ["idle", "0.0", "0.0", "-", "-", "0", "▁▁"]
    assert lines[7][:2] == ["shop", "90.0"]
    assert len(told.asked) == 1


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("rate", ["a", "b", "idle"]),
        ("errors", ["b", "a", "idle"]),
        ("p99", ["b", "a", "idle"]),
        ("p50", ["a", "b", "idle"]),
        ("requests", ["a", "b", "idle"]),
        ("name", ["a", "b", "idle"]),
    ],
)
def test_what_comes_first(sort: str, order: list[str]) -> None:
    with admin() as told:
        told.answers["/api/rates"] = (200, RATES)
        lines = ask(told, "top", "--sort", sort).output.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == order


@pytest.mark.parametrize("words", [("--sort", "luck"), ("--interval", "1"), ("--interval", "1ms")])
def test_wrong_usage(words: tuple[str, ...]) -> None:
    with admin() as told:
        assert ask(told, "top", *words).exit_code == 2


def test_json() -> None:
    with admin() as told:
        told.answers["/api/rates"] = (200, RATES)
        assert json.loads(ask(told, "top", "--json").output) == RATES


@pytest.mark.parametrize(
    "rates",
    [
        {},
        [],
        {"routes": [1, {}], "total": 3, "upstreams": "x"},
        {"routes": [{"route": [HOSTILE], "history": [[1, "x"], 2]}]},
    ],
)
def test_an_answer_of_any_kind_is_shown(rates: object) -> None:
    with admin() as told:
        told.answers["/api/rates"] = (200, rates)
        result = ask(told, "top")
    assert result.exit_code == 0 and not ACTING.search(result.output)


def test_live_it_follows_what_changes_and_ctrl_c_ends_it() -> None:
    asked = threading.Semaphore(0)

    def rates(port: Port) -> None:
        asked.release()
        routes = [route(f"r{len(port.admin.asked)}", 5.0), *RATES["routes"]]  # type: ignore[misc]
        body = json.dumps({**RATES, "routes": routes}).encode()
        port.send_response(200)
        port.send_header("Content-Length", str(len(body)))
        port.end_headers()
        port.wfile.write(body)

    with admin() as told:
        told.answers["/api/rates"] = rates
        words = ("top", "--admin", told.url, "--interval", "100ms")
        with terminal(*words, columns=100, rows=30) as screen:
            screen.until("r3")
            screen.process.send_signal(signal.SIGINT)
            assert screen.end() == 0
    assert "\x1b[?1049h" in screen.seen and "\x1b[?1049l" in screen.seen  # a screen of its own
    assert "\x1b[36m" in screen.seen and "requests/s" in plain(screen.seen)


def test_it_follows_the_window_s_size() -> None:
    many = {**RATES, "routes": [route(f"route-{n:02}", 100.0 - n) for n in range(40)]}
    with admin() as told:
        told.answers["/api/rates"] = (200, many)
        words = ("top", "--admin", told.url, "--interval", "1h")
        with terminal(*words, columns=100, rows=12) as screen:
            screen.until("more; a taller window")
            assert "route-30" not in screen.seen
            screen.resize(100, 60)
            screen.process.send_signal(signal.SIGWINCH)
            screen.until("route-39")
            screen.process.send_signal(signal.SIGINT)
            assert screen.end() == 0
        assert len(told.asked) == 1


def test_it_waits_for_a_gateway_that_is_away() -> None:
    with admin() as told:
        told.answers["/api/rates"] = (200, RATES)
        words = ("top", "--admin", told.url, "--interval", "100ms")
        with terminal(*words) as screen:
            screen.until("by rate")
            told.answers["/api/rates"] = (503, {"error": "it restarts" + HOSTILE})
            screen.until("it restarts")
            told.answers["/api/rates"] = (401, "")
            screen.process.wait(DEADLINE)
            assert screen.end() == 1
    assert "wants a token" in screen.seen


def test_hostile_names_do_not_act() -> None:
    with admin() as told:
        told.answers["/api/rates"] = (200, {**RATES, "routes": [route(HOSTILE, 1.0)]})
        words = ("top", "--once", "--admin", told.url)
        with terminal(*words) as screen:
            assert screen.end() == 0
    assert not ACTING.search(plain(screen.seen).replace("\r\n", ""))
    assert r"\x1b[2J" in screen.seen
