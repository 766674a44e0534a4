"""The Elasticsearch exporter against a server as strict as the real one."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from proxy.collector.batch import Batch
from proxy.errors import ConfigError
from proxy.otlp.envelope import Envelope
from proxy.telemetry.protobuf import delimited
from tests.collector.kit import Place, batch, settings
from tests.otlp import samples
from tests.otlp.fake_collector import DEADLINE
from tests.otlp.fake_elastic import Answer, FakeElastic

TRACES = "traces-generic.otel-default"
FAST = 'retry_on_failure = { initial_interval = "5ms", max_interval = "10ms" }'


async def exporter(
    elastic: FakeElastic, toml: str = "", signal: Any = "traces"
) -> tuple[Place, Any]:
    place = Place("exporter", "elasticsearch", signal=signal, random=lambda: 0.5)
    made = place.make(f'endpoint = "{elastic.url}"\n{toml}')
    await made.start()
    return place, made


NOW = "flush = { interval = 0 }\n"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.002)


async def sent(place: Place, made: Any) -> None:
    await until(lambda: place.ledger.queued == 0)
    assert place.ledger.balanced, place.ledger
    await made.stop(5)


@pytest.mark.parametrize("mode", ["otel", "ecs", "jaeger"])
@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
async def test_every_mapping_of_every_signal_is_accepted(signal: Any, mode: str) -> None:
    async with FakeElastic() as elastic:
        place, made = await exporter(elastic, f'{NOW}mapping = {{ mode = "{mode}" }}', signal)
        place.send(batch(signal))
        await sent(place, made)
        assert (place.ledger.exported, place.ledger.dropped) == (3, {})
        expected = {
            "otel": {f"{signal}-generic.otel-default"},
            "ecs": {f"{signal}-generic-default"},
            "jaeger": {f"{signal}-generic.otel-default"},
        }[mode]
        if (mode, signal) == ("jaeger", "traces"):
            expected = {"jaeger-span-2023-11-14", "jaeger-service-2023-11-14"}
        assert elastic.indices == expected
    assert elastic.requests[0].headers["Content-Encoding"] == "gzip"


async def test_batches_are_gathered_by_age_and_size() -> None:
    async with FakeElastic() as elastic:
        place, made = await exporter(elastic, 'flush = { interval = "50ms", count = 10 }')
        for _ in range(3):
            place.send(batch(items=2))
        await elastic.wait(6)
        assert len(elastic.requests) == 1
        for _ in range(5):
            place.send(batch(items=2))
        await elastic.wait(16)
        await sent(place, made)
        assert len(elastic.requests) == 2


async def test_requests_have_at_most_so_many_bytes_and_documents() -> None:
    async with FakeElastic() as elastic:
        place, made = await exporter(
            elastic, 'flush = { interval = 0, count = 60, bytes = "100KB" }'
        )
        place.send(batch(items=600))
        await elastic.wait(600)
        await sent(place, made)
        assert max(map(len, elastic.bodies)) <= 100_000
        assert max(body.count(b"\n") for body in elastic.bodies) <= 120
        assert place.ledger.exported == 600


async def test_only_the_items_that_had_no_room_are_sent_again() -> None:
    async with FakeElastic() as elastic:
        elastic.busy(TRACES, 2)
        place, made = await exporter(elastic, NOW + FAST)
        place.send(batch(items=5))
        await elastic.wait(5)
        await sent(place, made)
        assert [body.count(b"\n") // 2 for body in elastic.bodies] == [5, 2]
        ids = [source["span_id"] for source in elastic.found(TRACES)]
        assert len(set(ids)) == 5
        assert (place.ledger.exported, place.ledger.dropped) == (5, {})


async def test_items_without_room_for_too_long_are_given_up() -> None:
    async with FakeElastic() as elastic:
        elastic.busy(TRACES, 2)
        place, made = await exporter(elastic, NOW + "retry_on_failure = { enabled = false }")
        place.send(batch(items=5))
        await sent(place, made)
        assert (place.ledger.exported, place.ledger.dropped) == (3, {"rejected": 2})
        assert "given up" in place.context.condition.error


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_request_that_was_not_taken_is_sent_again(status: int) -> None:
    async with FakeElastic() as elastic:
        elastic.script(Answer(status), Answer(status))
        place, made = await exporter(elastic, NOW + FAST)
        place.send(batch())
        await elastic.wait(3)
        await sent(place, made)
        assert len(elastic.requests) == 3
        assert place.ledger.exported == 3


async def test_retry_after_is_obeyed() -> None:
    async with FakeElastic() as elastic:
        elastic.script(Answer(429, {"Retry-After": "60"}))
        place, made = await exporter(elastic, NOW + FAST)
        place.send(batch())
        await elastic.wait_requests(1)
        await until(lambda: place.context.condition.troubled)
        await made.stop(0.05)
        assert len(elastic.requests) == 1
        assert place.ledger.dropped == {"shutdown": 3}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(400), "permanent_http_400"),
        (Answer(401), "permanent_http_401"),
        (Answer(404), "permanent_http_404"),
        (Answer(500), "permanent_http_500"),
        (Answer(302, {"Location": "/x"}), "permanent_http_302"),
        (Answer(200, body=b"<html>please log in</html>"), "permanent_bad_answer"),
        (Answer(200, body=b'{"errors":false,"items":[]}'), "permanent_bad_answer"),
        (Answer(200, body=b'{"errors":false}'), "permanent_bad_answer"),
    ],
)
async def test_refusals_for_good(answer: Answer, reason: str) -> None:
    async with FakeElastic() as elastic:
        elastic.script(answer)
        place, made = await exporter(elastic, NOW)
        place.send(batch())
        await sent(place, made)
        assert (place.ledger.exported, place.ledger.dropped) == (0, {reason: 3})


async def test_a_document_that_is_refused_is_counted_and_named() -> None:
    """A span whose attribute has no name that a field may have."""
    bad = samples.span(1)
    bad.attributes.add(key=".").value.int_value = 1
    entries = [delimited(2, bad.SerializeToString()), samples.spans(2, first=5)]
    async with FakeElastic() as elastic:
        place, made = await exporter(elastic, NOW + 'mapping = { mode = "ecs" }')
        place.send(Batch("traces", Envelope({}).request(entries), 3))
        await sent(place, made)
        assert (place.ledger.exported, place.ledger.dropped) == (2, {"rejected": 1})
        assert "document_parsing_exception" in place.context.condition.error


async def test_a_request_too_large_for_the_server_is_halved() -> None:
    async with FakeElastic(most=3000) as elastic:
        place, made = await exporter(elastic, NOW)
        large = samples.spans(1, name="x" * 4000, first=50)
        place.send(Batch("traces", Envelope({}).request([samples.spans(20), large]), 21))
        await sent(place, made)
        assert len(elastic.found(TRACES)) == 20
        assert (place.ledger.exported, place.ledger.dropped) == (20, {"rejected": 1})


async def test_a_node_that_is_gone_leaves_its_work_to_the_next() -> None:
    async with FakeElastic() as elastic:
        place = Place("exporter", "elasticsearch", random=lambda: 0.5)
        made = place.make(f'endpoints = ["http://127.0.0.1:1", "{elastic.url}/"]\n{NOW}{FAST}')
        await made.start()
        place.send(batch())
        await elastic.wait(3)
        await sent(place, made)


BASIC = "Basic " + base64.b64encode("elastic:pä:ss".encode()).decode()


@pytest.mark.parametrize(
    ("toml", "header"),
    [
        ('api_key = "a2V5"', "ApiKey a2V5"),
        ('user = "elastic"\npassword = "pä:ss"', BASIC),
        ('headers = { Authorization = "Bearer x" }', "Bearer x"),
    ],
)
async def test_credentials(toml: str, header: str) -> None:
    async with FakeElastic(authorization=header) as elastic:
        place, made = await exporter(elastic, NOW + toml)
        place.send(batch())
        await elastic.wait(3)
        await sent(place, made)
        assert elastic.requests[0].headers["b3"] == "0"


async def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with FakeElastic(tls=context) as elastic:
        place, made = await exporter(elastic, f'{NOW}tls = {{ ca = "{tmp_path}/ca.pem" }}')
        place.send(batch())
        await elastic.wait(3)
        await sent(place, made)


async def test_jaegers_services_are_stored_once() -> None:
    async with FakeElastic() as elastic:
        place, made = await exporter(
            elastic, NOW + 'mapping = { mode = "jaeger" }\nindex_prefix = "prod"'
        )
        for items in (2, 3):
            place.send(batch(items=items))
            await until(lambda: place.ledger.queued == 0)
        await sent(place, made)
        assert len(elastic.found("prod-jaeger-span-2023-11-14")) == 5
        assert elastic.found("prod-jaeger-service-2023-11-14") == [
            {"serviceName": "app", "operationName": "GET /x/{id}"}
        ]


async def test_fixed_indices_pipeline_and_no_compression() -> None:
    toml = 'traces_index = "spans"\npipeline = "geo"\ncompression = "none"'
    async with FakeElastic() as elastic:
        place, made = await exporter(elastic, NOW + toml)
        place.send(batch())
        await elastic.wait(3)
        await sent(place, made)
        assert elastic.indices == {"spans"}
        assert elastic.requests[0].query["pipeline"] == "geo"
        assert "Content-Encoding" not in elastic.requests[0].headers
        assert json.loads(elastic.bodies[0].split(b"\n")[0]) == {"create": {"_index": "spans"}}


async def test_garbage_is_malformed() -> None:
    async with FakeElastic() as elastic:
        place, made = await exporter(elastic, NOW)
        place.send(Batch("traces", b"\xff" * 9, 3))
        await sent(place, made)
        assert place.ledger.dropped == {"permanent_malformed": 3}


async def test_a_server_that_hangs_does_not_hold_up_the_stop() -> None:
    async with FakeElastic() as elastic:
        elastic.script(Answer(hang=True))
        place, made = await exporter(elastic, NOW)
        place.send(batch())
        await elastic.wait_requests(1)
        async with asyncio.timeout(20):
            await made.stop(0.1)
        assert place.ledger.dropped == {"shutdown": 3}
        assert place.ledger.balanced


async def test_what_was_gathered_is_sent_at_the_stop() -> None:
    async with FakeElastic() as elastic:
        place, made = await exporter(elastic, 'flush = { interval = "1h" }')
        place.send(batch())
        assert place.ledger.queued == 3
        await made.stop(5)
        assert place.ledger.exported == 3
        assert place.ledger.balanced


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ("", "says where"),
        ('endpoint = "http://x"\nendpoints = ["http://y"]', "says where"),
        ('endpoint = "localhost:9200"', "not a base URL"),
        ('endpoint = "http://u:p@x:9200"', "not a base URL"),
        ('endpoint = "http://x"\nuser = "u"', "come together"),
        ('endpoint = "http://x"\nuser = "u"\npassword = "p"\napi_key = "k"', "exclude"),
        ('endpoint = "http://x"\nlogs_index = "Logs"', "not an index name"),
        ('endpoint = "http://x"\nflush = { bytes = "200MB" }', "100 MB"),
        ('endpoint = "http://x"\nmapping = { mode = "raw" }', "mode"),
    ],
)
def test_settings_that_cannot_work(toml: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        settings("exporter", "elasticsearch", toml)
