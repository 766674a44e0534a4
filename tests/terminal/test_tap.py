"""`spangate tap` as it is typed: into a pipe, on a terminal, over a restart of the gateway."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from urllib.parse import urlsplit

import pytest

from .kit import ACTING, DEADLINE, HOSTILE, REQUEST, TRACE, Port, admin, ask, spawn, terminal
from .kit import uncoloured as plain


def telling(*events: tuple[str, object]) -> dict[str, object]:
    """Answers of a gateway that tells these, and then nothing more until it is gone."""

    def tap(port: Port) -> None:
        port.begin_events()
        port.events(*events)
        port.rfile.read(1)

    return {"/api/tap": tap}


def test_a_line_for_each_request_in_a_pipe() -> None:
    failed = {**REQUEST, "status": 503, "error": "no_endpoint", "tries": 0, "upstream": ""}
    with admin() as told:
        told.answers |= telling(("request", REQUEST), ("request", failed))  # type: ignore[arg-type]
        result = ask(told, "tap", "--max", "2")
    assert result.exit_code == 0
    first, second = (line.split("  ")[1:] for line in result.output.splitlines())
    asked = ["GET", "/orders/7?a=1", " 12.5 ms", "orders"]
    assert first == ["200", *asked, "orders 10.0.0.1:8000", "2 tries", TRACE]
    assert second == ["503", *asked, "10.0.0.1:8000", "no_endpoint", TRACE]


def test_json_is_a_line_for_each_request() -> None:
    with admin() as told:
        told.answers |= telling(  # type: ignore[arg-type]
            ("request", REQUEST), ("dropped", {"count": 7}), ("request", {"path": HOSTILE}),
        )  # fmt: skip
        result = ask(told, "tap", "--json", "--max", "2")
    lines = result.stdout.splitlines()
    assert [json.loads(line) for line in lines] == [REQUEST, {"dropped": 7}, {"path": HOSTILE}]
    assert result.stdout.isascii() and not ACTING.search("".join(lines))
    assert result.stderr == "spangate: 7 requests not shown: they came faster than this took them\n"


def test_filters_are_the_gateway_s() -> None:
    with admin() as told:
        told.answers |= telling(("request", REQUEST))  # type: ignore[arg-type]
        words = "--route orders --status 5xx,404 --min 1s500ms --path /orders/* --method GET,PUT"
        ask(told, "tap", "--max", "1", *words.split(), "--service", "shop & co", "--errors")
        assert told.last.query == {
            "route": "orders", "status": "5xx,404", "min_ms": "1500", "path": "/orders/*",
            "method": "GET,PUT", "service": "shop & co", "error": "true",
        }  # fmt: skip
        ask(told, "tap", "--max", "1")
        assert told.last.query == {}


@pytest.mark.parametrize("words", [("--min", "100"), ("--max", "0"), ("--min", "x"), ("a",)])
def test_wrong_usage(words: tuple[str, ...]) -> None:
    with admin() as told:
        assert ask(told, "tap", *words).exit_code == 2
        assert told.asked == []


@pytest.mark.parametrize(
    "data", [HOSTILE, [1], None, {}, {"status": "x", "tries": [], "time_unix_ms": 1e300},
             {"path": {"a": [HOSTILE]}, "status": True, "duration_ms": None}]
)  # fmt: skip
def test_an_answer_of_any_kind_is_a_line(data: object) -> None:
    with admin() as told:
        told.answers |= telling(("request", data), ("what", 1))  # type: ignore[arg-type]
        result = ask(told, "tap", "--max", "1")
    assert result.exit_code == 0
    assert result.output.count("\n") == 1 and not ACTING.search(result.output)


def test_a_port_that_answers_something_else() -> None:
    with admin() as told:
        told.answers["/api/tap"] = (200, {"not": "a stream"})
        result = ask(told, "tap")
    assert result.exit_code == 1 and "not a gateway's" in result.output


def test_it_waits_for_a_gateway_that_restarts() -> None:
    def one(port: Port) -> None:
        port.begin_events()
        port.events(("request", REQUEST))
        port.wfile.write(b"0\r\n\r\n")
        port.close_connection = True

    with admin() as told:
        told.answers["/api/tap"] = one
        number = urlsplit(told.url).port or 0
        process = spawn("tap", "--admin", told.url, "--max", "3", stdout=-1, stderr=-1)
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline()
        lost = process.stderr.readline()
    with process, admin(port=number) as told:
        told.answers |= telling(*[("request", REQUEST)] * 3)  # type: ignore[arg-type]
        rest, notes = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    assert first.count(b"/orders/7") == 1 and rest.count(b"/orders/7") == 2
    assert b"trying again until it is back" in lost
    assert b"connected again" in notes


def test_a_token_that_changed_ends_it() -> None:
    def one(port: Port) -> None:
        port.admin.answers["/api/tap"] = (401, "")
        port.begin_events()
        port.events(("request", REQUEST))
        port.wfile.write(b"0\r\n\r\n")

    with admin() as told:
        told.answers["/api/tap"] = one
        result = ask(told, "tap")
    assert result.exit_code == 1 and "wants a token" in result.output


def test_ctrl_c_ends_it_well() -> None:
    with admin() as told:
        told.answers |= telling(("request", REQUEST))  # type: ignore[arg-type]
        with spawn("tap", "--admin", told.url, stdout=-1, stderr=-1) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.communicate(timeout=DEADLINE) == (b"", b"")
    assert process.returncode == 0


def test_a_reader_that_has_enough_ends_it_quietly() -> None:
    more = threading.Event()

    def tap(port: Port) -> None:
        port.begin_events()
        port.events(("request", REQUEST))
        more.wait(DEADLINE)
        port.events(*[("request", REQUEST)] * 3)
        port.rfile.read(1)

    with admin() as told:
        told.answers["/api/tap"] = tap
        with spawn("tap", "--admin", told.url, stdout=-1, stderr=-1) as process:
            assert process.stdout is not None and process.stderr is not None
            process.stdout.readline()
            process.stdout.close()
            more.set()
            assert process.wait(DEADLINE) == 0
            assert process.stderr.read() == b""


def test_lines_are_coloured_on_a_terminal() -> None:
    failed = {**REQUEST, "status": 502, "error": "connection_refused"}
    with admin() as told:
        told.answers |= telling(("request", REQUEST), ("request", failed))  # type: ignore[arg-type]
        with terminal("tap", "--admin", told.url, "--max", "2") as screen:
            assert screen.end() == 0
    assert "Ctrl-C ends this" in screen.seen
    assert "\x1b[32m200\x1b[0m" in screen.seen and "\x1b[1;31m502\x1b[0m" in screen.seen
    assert TRACE[:8] in screen.seen and TRACE not in screen.seen
    assert "/orders/7?a=1   12.5 ms  orders  orders 10.0.0.1:8000  2 tries" in plain(screen.seen)


def test_no_colour_where_nobody_wants_it() -> None:
    with admin() as told:
        told.answers |= telling(("request", REQUEST))  # type: ignore[arg-type]
        with terminal("tap", "--admin", told.url, "--max", "1", env={"NO_COLOR": "1"}) as screen:
            screen.end()
    assert "/orders/7" in screen.seen and "\x1b[3" not in screen.seen


def test_nothing_that_a_stranger_sent_acts_on_the_terminal() -> None:
    hostile = {key: HOSTILE if isinstance(said, str) else said for key, said in REQUEST.items()}
    hostile["path"] = HOSTILE + "x" * 2**19
    with admin() as told:
        told.answers |= telling(("request", hostile))  # type: ignore[arg-type]
        with terminal("tap", "--admin", told.url, "--max", "1") as screen:
            screen.end()
    seen = plain(screen.seen).replace("\r\n", "\n")
    assert not ACTING.search(seen)
    assert "[red]x[/red]" in seen and len(seen) < 4000


def test_help_imports_nothing_that_is_slow() -> None:
    code = "import sys; from proxy.cli import main\ntry: main(['tap', '--help'])\n"
    code += "except SystemExit: print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.splitlines()[-1].split())
    assert "click" in loaded
    assert not loaded & {"rich", "http.client", "asyncio", "aiohttp", "msgspec", "proxy.config"}


def test_rich_is_not_needed_in_a_pipe() -> None:
    with admin() as told:
        told.answers |= telling(("request", REQUEST))  # type: ignore[arg-type]
        code = "import sys; from proxy.cli import main\ntry: main(sys.argv[1:])\n"
        code += "except SystemExit: print(*sys.modules)"
        command = [sys.executable, "-c", code, "tap", "--admin", told.url, "--max", "1"]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    loaded = set(ran.stdout.splitlines()[-1].split())
    assert "http.client" in loaded and not loaded & {"rich", "asyncio", "aiohttp", "msgspec"}
