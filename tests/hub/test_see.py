"""What the admin port shows of requests, with a hub, its workers and a collector."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.hub.gateway import DEADLINE, Gateway, children, gateway, until
from tests.hub.seen import asked, text, traces
from tests.otlp import samples
from tests.ports import free_port


@contextmanager
def tapped(hub: Gateway, query: str = "") -> Iterator[list[dict[str, Any]]]:
    """What /api/tap tells, as it comes."""
    link = http.client.HTTPConnection("127.0.0.1", hub.admin, timeout=DEADLINE)
    link.request("GET", f"/api/tap?{query}")
    answer = link.getresponse()
    assert answer.status == 200, answer.read()
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.readline().startswith(b":")
    told: list[dict[str, Any]] = []

    def read() -> None:
        try:
            for line in answer:
                if line.startswith(b"data: "):
                    told.append(json.loads(line[6:]))
        except (OSError, ValueError, AttributeError):
            return  # the test is over

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield told
    finally:
        if link.sock is not None:
            link.sock.shutdown(2)
        reader.join(DEADLINE)
        link.close()


def test_a_request_is_found_and_shown(tmp_path: Path) -> None:
    with gateway(tmp_path, text()) as hub:
        hub.get("/pong/1?a=b")
        hub.get("/gone")
        found = until(lambda: [t for t in traces(hub, "error=true") if t["spans"] > 1])
        assert [(t["name"], t["route"], t["status"], t["spans"]) for t in found] == [
            ("GET /gone", "gone", 503, 2)
        ]
        assert [t["path"] for t in until(lambda: traces(hub, "route=pong"))] == ["/pong/1"]
        assert traces(hub, "min_ms=60000") == []
        assert [t["route"] for t in traces(hub, "q=connection_refused&since=5m&limit=1")] == [
            "gone"
        ]
        status, trace = asked(hub, f"/api/traces/{found[0]['trace_id']}")
        assert status == 200
        server, client = trace["spans"]
        assert (server["kind"], server["parent_id"], server["depth"]) == ("server", "", 0)
        assert (client["kind"], client["parent_id"]) == ("client", server["span_id"])
        assert client["status"] == "error" and trace["error"]
        status, otlp = asked(hub, f"/api/traces/{found[0]['trace_id']}?format=otlp")
        assert len(otlp["resourceSpans"][0]["scopeSpans"][0]["spans"]) == 2


@pytest.mark.parametrize(
    ("path", "status", "why"),
    [
        ("/api/traces/" + "0" * 31 + "1", 404, "no such trace"),
        ("/api/traces/xyz", 400, "32 hexadecimal digits"),
        ("/api/traces?since=yesterday", 400, "since is 'yesterday'"),
        ("/api/traces?limit=0", 400, "limit is 0"),
        ("/api/traces?limit=1e3", 400, "whole number"),
        ("/api/traces?min_ms=-1", 400, "milliseconds"),
        ("/api/traces?error=maybe", 400, "true or false"),
        ("/api/traces?rout=a", 400, "unknown parameter 'rout'"),
        ("/api/tap?status=teapot", 400, "status is 'teapot'"),
        ("/api/tap?min=soon", 400, "min is 'soon'"),
        ("/api/tap?limit=0", 400, "limit is 0"),
        ("/api/tap?since=never", 400, "since is 'never'"),
        ("/api/tap?colour=red", 400, "unknown parameter 'colour'"),
        ("/api/nothing", 404, "no such thing"),
    ],
)
def test_what_cannot_be_understood_is_told(
    shared: Gateway, path: str, status: int, why: str
) -> None:
    answered, said = asked(shared, path)
    assert (answered, why in said["error"]) == (status, True), said


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("see"), text()) as hub:
        yield hub


def test_who_watches_sees_requests_that_leave_no_trace(tmp_path: Path) -> None:
    with gateway(tmp_path, text("[tracing]\nsample = 0\n[access_log]\notlp = false")) as hub:
        hub.get("/pong/before")
        with tapped(hub, "path=/pong/*") as all_, tapped(hub, "status=5xx,404") as failed:
            hub.get("/pong/1?a=b")
            hub.get("/gone")
            until(lambda: all_ and failed)
        assert [(e["method"], e["path"], e["query"], e["status"], e["sampled"]) for e in all_] == [
            ("GET", "/pong/1", "a=b", 200, False)
        ]
        assert [(e["route"], e["error"], e["tries"]) for e in failed] == [
            ("gone", "connection_refused", 1)
        ]
        assert traces(hub) == []


def test_a_limit_ends_the_stream(tmp_path: Path) -> None:
    with gateway(tmp_path, text()) as hub, tapped(hub, "limit=2&q=PONG&since=5m") as told:
        hub.get("/gone")
        for number in range(5):
            hub.get(f"/pong/{number}")
        until(lambda: len(told) == 2)
        assert {event["route"] for event in told} == {"pong"}


def test_nobody_watches_and_no_records_are_made(tmp_path: Path) -> None:
    """Access records for who watches end with that."""
    with gateway(tmp_path, text()) as hub:
        with tapped(hub) as told:
            hub.get("/pong/1")
            until(lambda: told)
        assert records(hub) >= 1
        until(lambda: not watched(hub) and not watched(hub))  # a record may be late, two are not
        before = records(hub)
        hub.get("/pong/2")
        until(lambda: traces(hub, "q=/pong/2"))
        assert records(hub) == before


def records(hub: Gateway) -> int:
    """Access records that the workers have made."""
    flows = asked(hub, "/pipelines")[1]["receivers"]["gateway"]["signals"]
    found: int = flows.get("logs", {}).get("accepted", 0)
    return found


def watched(hub: Gateway) -> bool:
    """Whether a request leaves an access record."""
    before = records(hub)
    hub.get("/pong/x")
    until(lambda: traces(hub, "q=/pong/x"))
    return records(hub) > before


def test_a_collector_that_dies_takes_no_viewer_along(tmp_path: Path) -> None:
    with gateway(tmp_path, text()) as hub, tapped(hub) as told:
        hub.get("/pong/1")
        until(lambda: told)
        pid = collector_of(hub)
        os.kill(pid, signal.SIGKILL)
        until(lambda: collector_of(hub) not in (0, pid))

        def again() -> bool:
            hub.get("/pong/2")
            return any(event["path"] == "/pong/2" for event in told)

        until(again)
        until(lambda: asked(hub, "/api/traces")[0] == 200)


def collector_of(hub: Gateway) -> int:
    """Its process id; 0 while there is none."""
    return next(iter(children(hub.process.pid, "proxy.collector")), 0)


@pytest.mark.parametrize("processes", ["separate", "small"])
def test_spans_of_other_applications_are_part_of_the_trace(tmp_path: Path, processes: str) -> None:
    port = free_port()
    more = f"""
[collector.receivers.otlp]
http = "127.0.0.1:{port}"
[collector.exporters.debug]
[collector.pipelines.traces]
receivers = ["otlp"]
exporters = ["debug"]
"""
    head = f'processes = "{processes}"\n'
    with gateway(tmp_path, head + text(more)) as hub:
        from proxy.otlp.envelope import Envelope

        body = Envelope({"service.name": "app"}).request([samples.spans(3)])
        url = f"http://127.0.0.1:{port}/v1/traces"
        kind = {"Content-Type": "application/x-protobuf"}
        with urlopen(Request(url, body, kind), timeout=DEADLINE) as answer:
            assert answer.status == 200
        hub.get("/pong/1")
        until(lambda: len(traces(hub)) > 1)
        assert "app" in {service for trace in traces(hub) for service in trace["services"]}


def test_a_size_of_0_keeps_and_records_nothing(tmp_path: Path) -> None:
    with gateway(tmp_path, text("[recent]\nsize = 0")) as hub:
        hub.get("/pong/1")
        status, said = asked(hub, "/api/traces")
        assert status == 404 and "[recent] size = 0" in said["error"]
        assert asked(hub, "/pipelines")[1]["pipelines"] == {}
        assert hub.stats()["export"] == {}


def test_with_a_token_data_is_for_those_who_show_it(tmp_path: Path) -> None:
    with gateway(tmp_path, text().replace("[admin]", '[admin]\ntoken = "s3cret"')) as hub:
        for path in ("/api/traces", "/api/info", "/api/tap", "/jaeger/api/services"):
            assert hub.ask(path)[0] == 401, path
        assert asked(hub, "/api/traces", Authorization="Bearer s3cret")[0] == 200
        assert hub.ask("/live")[0] == hub.ask("/ready")[0] == hub.ask("/metrics")[0] == 200


def test_a_new_size_comes_with_a_reload(tmp_path: Path) -> None:
    with gateway(tmp_path, text()) as hub:
        hub.get("/pong/1")
        until(lambda: traces(hub))
        hub.rewrite(text("[recent]\nsize = 0"))
        until(lambda: asked(hub, "/api/traces")[0] == 404)
        hub.rewrite(text("[ui]\ntrace_url = 'https://jaeger.example/trace/{trace_id}'"))
        until(lambda: asked(hub, "/api/info")[1]["trace_url"])
        hub.get("/pong/2")
        found = until(lambda: traces(hub))
        _, trace = asked(hub, f"/api/traces/{found[0]['trace_id']}")
        assert trace["trace_url"] == f"https://jaeger.example/trace/{found[0]['trace_id']}"


def test_so_many_may_watch_that_the_port_is_there_for_others(tmp_path: Path) -> None:
    with gateway(tmp_path, text(), workers=1) as hub, ExitStack() as viewers:
        for _ in range(32):
            viewers.enter_context(tapped(hub))
        status, said = asked(hub, "/api/tap")
        assert (status, said["error"]) == (400, "32 are watching already")
        assert asked(hub, "/api/traces")[0] == 200
