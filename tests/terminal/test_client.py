"""What a command says when it cannot ask: why, and what to do."""

from __future__ import annotations

import http.client
import socket
import threading
from pathlib import Path

import pytest

from proxy.terminal.client import Address, address

from .kit import ACTING, HOSTILE, admin, ask, run

RATES: dict[str, object] = {"at_unix_ms": 0, "total": {}, "routes": [], "upstreams": []}


@pytest.mark.parametrize(
    ("url", "read"),
    [
        ("http://127.0.0.1:9901", Address("http://127.0.0.1:9901", "127.0.0.1", 9901)),
        ("http://gw/", Address("http://gw", "gw", 80)),
        ("gw:9901", Address("http://gw:9901", "gw", 9901)),
        (":9901", Address("http://127.0.0.1:9901", "127.0.0.1", 9901)),
        ("http://[::1]:9901", Address("http://[::1]:9901", "::1", 9901)),
        ("0.0.0.0:9901", Address("http://0.0.0.0:9901", "127.0.0.1", 9901)),
        ("[::]:9901", Address("http://[::]:9901", "::1", 9901)),
        ("127.0.0.1:0", Address("http://127.0.0.1:0", "127.0.0.1", 0)),
        ("http://gw/spangate/", Address("http://gw/spangate", "gw", 80, "/spangate")),
        ("unix:/run/s.sock", Address("unix:/run/s.sock", socket="/run/s.sock")),
        ("unix:///run/s.sock", Address("unix:///run/s.sock", socket="/run/s.sock")),
    ],
)
def test_addresses(url: str, read: Address) -> None:
    assert address(url) == read


@pytest.mark.parametrize(
    "url",
    ["", "unix:", "https://gw:9901", "ftp://gw", "http://", "http://gw:x", "http://gw:99999",
     "http://a..b:9901", f"http://{'a' * 64}", "http://g w", "http://gw\r\nx: y", "http://gw\x1b"],
)  # fmt: skip
def test_what_is_no_address_is_wrong_usage(url: str) -> None:
    told = run("top", "--admin", url)
    assert told.exit_code == 2
    assert "--admin" in told.output and not ACTING.search(told.output)


def test_over_ipv4_ipv6_and_a_unix_socket(tmp_path: Path) -> None:
    for options in ({}, {"host": "::1"}, {"path": tmp_path / "admin.sock"}):
        with admin(**options) as told:  # type: ignore[arg-type]
            told.answers["/api/rates"] = (200, RATES)
            assert ask(told, "top").exit_code == 0
            assert run("top", env={"SPANGATE_ADMIN": told.url}).exit_code == 0
            assert len(told.asked) == 2


def test_the_token_is_shown() -> None:
    with admin() as told:
        told.answers["/api/rates"] = (200, RATES)
        ask(told, "top", "--token", "s3cret")
        assert told.last.headers["Authorization"] == "Bearer s3cret"
        run("top", "--admin", told.url, env={"SPANGATE_ADMIN_TOKEN": "from env\n"})
        assert told.last.headers["Authorization"] == "Bearer from env"
        ask(told, "top")
        assert "Authorization" not in told.last.headers
        assert ask(told, "top", "--token", "a\r\nb: c").exit_code == 2


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        (
            (401, "401 Unauthorized\n"),
            1,
            "wants a token: give that of its [admin] token by",
        ),
        ((403, "403 Forbidden\n"), 1, "[admin] hosts"),
        ((404, "404 Not Found\n"), 1, "an older gateway, one with [admin] ui = false, or not the"),
        ((403, "403 Forbidden: this Host is not one of us\n"), 1, ": this Host is not one of us"),
        ((404, "404 Not Found: `ui = false` in [admin]\n"), 1, ": `ui = false` in [admin]"),
        ((400, {"error": "since: no duration"}), 2, "since: no duration"),
        ((503, {"error": "the collector restarts"}), 1, "the collector restarts"),
        ((500, "oh"), 1, "status 500"),
        ((200, "<html>welcome</html>"), 1, "not a gateway's"),
    ],
)
def test_refusals(answer: tuple[int, object], code: int, says: str) -> None:
    with admin() as told:
        told.answers["/api/doctor"] = answer
        result = ask(told, "doctor")
    assert (result.exit_code, says in result.output) == (code, True), result.output


def test_a_token_that_is_not_taken() -> None:
    with admin() as told:
        told.answers["/api/map"] = (401, "")
        result = ask(told, "map", "--token", "old")
    assert result.exit_code == 1 and "does not take this token" in result.output


def test_nobody_is_there(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen
        result = run("top", "--admin", f"http://127.0.0.1:{held.getsockname()[1]}")
    assert result.exit_code == 1
    assert "no gateway at http://127.0.0.1:" in result.output and "spangate run" in result.output
    result = run("map", "--admin", f"unix:{tmp_path}/none.sock")
    assert result.exit_code == 1 and "no gateway at unix:" in result.output


def test_who_speaks_no_http() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def say() -> None:
            with server.accept()[0] as line:
                line.recv(65536)
                line.sendall(b"SSH-2.0-hello\r\n")

        thread = threading.Thread(target=say)
        thread.start()
        result = run("stats", "--admin", f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    assert result.exit_code == 1 and "does not speak HTTP" in result.output


def test_what_a_stranger_says_is_wrong_does_not_act() -> None:
    with admin() as told:
        told.answers["/api/traces"] = (400, {"error": HOSTILE * 400})
        result = ask(told, "traces")
    assert result.exit_code == 2
    assert len(result.output) < 1100 and not ACTING.search(result.output)
    assert result.output.count("\n") == 1


def test_a_prefix_is_before_every_path() -> None:
    with admin() as told:
        told.answers["/mesh/api/rates"] = (200, RATES)
        assert run("top", "--admin", told.url + "/mesh/").exit_code == 0


def test_http_client_still_goes_by_a_socket_that_is_there() -> None:
    """What `client.py` relies on for Unix sockets."""
    ours, theirs = socket.socketpair()
    connection = http.client.HTTPConnection("localhost")
    connection.sock = ours
    connection.request("GET", "/x")
    assert theirs.recv(65536).startswith(b"GET /x HTTP/1.1\r\nHost: localhost\r\n")
    connection.close()
    theirs.close()
