"""The Zipkin receiver on a real socket, with py-zipkin as a client."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from proxy.errors import ConfigError
from tests.collector.kit import Place, settings
from tests.collector.test_zipkin_mapping import FULL, PROTO, V1, plain

JSON = json.dumps([FULL]).encode()
OLD = json.dumps([{**V1, "annotations": [{"value": "cs", "timestamp": 1}]}]).encode()


class Binding(Place):
    def __init__(self) -> None:
        super().__init__("receiver", "zipkin")
        self.receiver = self.make('endpoint = "127.0.0.1:0"\nmax_request_size = "64KiB"')

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.receiver.port}"


@pytest.fixture
async def place() -> AsyncIterator[Binding]:
    made = Binding()
    await made.receiver.start()
    yield made
    await made.receiver.stop(1)


async def post(place: Binding, body: bytes, path: str = "/api/v2/spans", **headers: str) -> Any:
    headers = {"Content-Type": "application/json", **headers}
    async with (
        aiohttp.ClientSession() as session,
        session.post(place.url + path, data=body, headers=headers) as answer,
    ):
        return answer.status, await answer.text(), answer.headers


TAKEN = [
    pytest.param(JSON, "/api/v2/spans", {}, id="json"),
    pytest.param(gzip.compress(JSON), "/api/v2/spans", {"Content-Encoding": "gzip"}, id="gzip"),
    pytest.param(
        JSON, "/api/v2/spans", {"Content-Type": "application/json; charset=utf-8"}, id="charset"
    ),
    pytest.param(JSON, "/api/v2/spans", {"Content-Type": "application/octet-stream"}, id="no-type"),
    pytest.param(PROTO, "/api/v2/spans", {"Content-Type": "application/x-protobuf"}, id="protobuf"),
    pytest.param(OLD, "/api/v1/spans", {}, id="v1"),
]


@pytest.mark.parametrize(("body", "path", "headers"), TAKEN)
async def test_spans_are_taken(
    place: Binding, body: bytes, path: str, headers: dict[str, str]
) -> None:
    status, text, _ = await post(place, body, path, **headers)
    assert (status, text) == (202, "")
    assert place.items == 1


@pytest.mark.parametrize(
    "type",
    ["text/plain", "text/plain;charset=UTF-8", "", "application/x-www-form-urlencoded", "*"],
)
@pytest.mark.parametrize(("body", "path"), [(JSON, "/api/v2/spans"), (OLD, "/api/v1/spans")])
async def test_what_is_called_neither_protobuf_nor_thrift_is_json(
    place: Binding, type: str, body: bytes, path: str
) -> None:
    assert (await post(place, body, path, **{"Content-Type": type}))[0] == 202
    assert place.items == 1


async def test_an_empty_list_is_fine(place: Binding) -> None:
    assert (await post(place, b"[]"))[0] == 202
    assert place.out == []


async def test_a_large_list_is_taken_whole(place: Binding) -> None:
    """It is translated in a thread."""
    body = json.dumps([FULL] * 100).encode()
    assert len(body) > 32 * 1024
    assert (await post(place, body))[0] == 202
    assert place.items == 100


REFUSED = [
    pytest.param(b"garbage", "/api/v2/spans", {}, 400, "cannot be read", id="garbage"),
    pytest.param(b"", "/api/v2/spans", {}, 400, "cannot be read", id="nothing"),
    pytest.param(JSON, "/api/v2/spans", {"Content-Encoding": "gzip"}, 400, "read", id="not-gzip"),
    pytest.param(
        JSON, "/api/v2/spans", {"Content-Type": "application/x-thrift"}, 415, "json", id="type"
    ),
    pytest.param(
        OLD, "/api/v1/spans", {"Content-Type": "application/x-thrift"}, 415, "v1", id="v1"
    ),
    pytest.param(b"[" * 70_000, "/api/v2/spans", {}, 413, "more than", id="large"),
    pytest.param(JSON, "/api/v3/spans", {}, 404, "POST /api/v2/spans", id="path"),
]


@pytest.mark.parametrize(("body", "path", "headers", "status", "text"), REFUSED)
async def test_it_says_what_is_wrong(
    place: Binding, body: bytes, path: str, headers: dict[str, str], status: int, text: str
) -> None:
    got, said, _ = await post(place, body, path, **headers)
    assert (got, place.items) == (status, 0)
    assert text in said


async def test_without_room_it_asks_to_come_again(place: Binding) -> None:
    place.room = False
    status, _, headers = await post(place, JSON)
    assert (status, headers["Retry-After"]) == (503, "1")


async def test_what_is_wrong_is_counted(place: Binding) -> None:
    await post(place, b"garbage")
    await post(place, json.dumps([FULL, {**FULL, "id": "0"}]).encode())
    counted = {
        (series.instrument.name, dict(series.attributes)["protocol"]): series.value
        for series in place.counters.series()
        if series.value
    }
    assert counted == {
        ("spangate.receiver.malformed", "json"): 1,
        ("spangate.receiver.spans.nameless", "json"): 1,
    }
    assert place.items == 1


ENCODINGS = {
    "V2_JSON": ("/api/v2/spans", "application/json"),
    "V2_PROTO3": ("/api/v2/spans", "application/x-protobuf"),
    "V1_JSON": ("/api/v1/spans", "application/json"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_py_zipkin_is_understood(place: Binding, encoding: str) -> None:
    path, kind = ENCODINGS[encoding]
    for body in await asyncio.to_thread(py_zipkin, encoding):
        status, text, _ = await post(place, body, path, **{"Content-Type": kind})
        assert (status, text) == (202, "")
    spans: dict[str, Any] = {}
    for batch in place.out:
        message: Any = batch.message()
        for resource_spans in message.resource_spans:
            service = plain(resource_spans.resource.attributes)["service.name"]
            spans |= {
                span.name: (service, span)
                for scope_spans in resource_spans.scope_spans
                for span in scope_spans.spans
            }
    service, server = spans["get"]
    _, client = spans["call"]
    assert service == "py-app"
    assert (server.kind, client.kind) == (2, 3)
    assert (client.trace_id, client.parent_span_id) == (server.trace_id, server.span_id)
    assert server.start_time_unix_nano < server.end_time_unix_nano
    assert [event.name for event in server.events] == ["here"]
    assert (server.status.code, server.status.message) == (2, "boom")
    attributes = plain(server.attributes)
    assert (attributes["http.path"], attributes["network.local.address"]) == ("/x", "10.1.2.3")
    assert plain(client.attributes)["peer.service"] == "db"
    assert plain(client.attributes)["network.peer.address"] == "10.0.0.9"


def py_zipkin(encoding: str) -> list[bytes]:
    """What py-zipkin posts for a server's span with a client's in it."""
    client: Any = pytest.importorskip("py_zipkin.zipkin", reason="py-zipkin is not installed")
    from py_zipkin import Encoding, Kind
    from py_zipkin.transport import BaseTransportHandler

    sent: list[bytes] = []

    class Keep(BaseTransportHandler):  # type: ignore[misc]
        def get_max_payload_bytes(self) -> None:
            return None

        def send(self, payload: str | bytes) -> None:
            sent.append(payload.encode() if isinstance(payload, str) else payload)

    with client.zipkin_span(
        service_name="py-app",
        span_name="get",
        transport_handler=Keep(),
        sample_rate=100.0,
        encoding=getattr(Encoding, encoding),
        kind=Kind.SERVER,
        host="10.1.2.3",
        port=80,
        binary_annotations={"http.path": "/x", "error": "boom"},
    ) as span:
        span.add_annotation("here")
        with client.zipkin_client_span(service_name="py-app", span_name="call") as inner:
            inner.add_sa_binary_annotation(port=5432, service_name="db", host="10.0.0.9")
    return sent


@pytest.mark.parametrize(
    ("toml", "text"),
    [('endpoint = "here"', "not an address"), ("max_request_size = 0", "unlimited")],
)
def test_settings_are_checked(toml: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        settings("receiver", "zipkin", toml)
