"""Taking remote write: answers by the specification, and nothing larger than allowed."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from proxy.formats.remote_write import snappy
from proxy.formats.remote_write.write import Metadata, Sample, Series, write_v1, write_v2
from tests.collector.kit import Place
from tests.collector.prometheus_samples import numbers

V2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request"
GOOD = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
SERIES = [
    Series(
        (("__name__", f"m{n}_total"), ("job", "j")),
        [Sample(n, 1_700_000_000_000)],
        metadata=Metadata("counter"),
    )
    for n in range(3)
]
BODY = snappy.compress(write_v1(SERIES))
WRITTEN = "X-Prometheus-Remote-Write-Samples-Written"


class Receiver:
    def __init__(self, toml: str = "") -> None:
        self.place = Place("receiver", "prometheusremotewrite")
        self.source: Any = self.place.make(f'endpoint = "127.0.0.1:0"\n{toml}')

    async def __aenter__(self) -> Receiver:
        await self.source.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.source.stop(1)

    async def post(
        self, body: bytes, path: str = "/api/v1/write", **headers: str
    ) -> tuple[int, str, dict[str, str]]:
        url = f"http://127.0.0.1:{self.source.port}{path}"
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers={**GOOD, **headers}) as answer,
        ):
            return answer.status, await answer.text(), dict(answer.headers)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (BODY, "application/x-protobuf"),
        (BODY, "application/x-protobuf; proto=prometheus.WriteRequest"),
        (snappy.compress(write_v2(SERIES)), V2),
    ],
)
async def test_both_versions_are_taken(body: bytes, kind: str) -> None:
    async with Receiver() as receiver:
        status, text, headers = await receiver.post(body, **{"Content-Type": kind})
        assert (status, text) == (204, "")
        assert headers[WRITTEN] == "3"
        assert headers["X-Prometheus-Remote-Write-Histograms-Written"] == "0"
        assert headers["X-Prometheus-Remote-Write-Exemplars-Written"] == "0"
        assert numbers(receiver.place.out) == {(f"m{n}_total", ()): n for n in range(3)}
        assert receiver.place.items == 3


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (415, BODY, {"Content-Encoding": "gzip"}),
        (415, BODY, {"Content-Type": "text/plain"}),
        (415, BODY, {"Content-Type": "application/x-protobuf;proto=unknown.Message"}),
        (400, b"", {}),
        (400, b"not snappy at all", {}),
        (400, b"\xff\xff\xff\x7f123", {}),  # claims 256 MB
        (400, snappy.compress(b"\xff" * 30), {}),
        (400, snappy.compress(write_v1(SERIES)[:-1]), {}),
        (413, snappy.compress(bytes(70_000)), {}),  # small until it is decompressed
        (413, bytes(70_000), {}),
    ],
)
async def test_what_is_refused(status: int, body: bytes, headers: dict[str, str]) -> None:
    async with Receiver('max_request_size = "64KiB"') as receiver:
        answer = await receiver.post(body, **headers)
        assert answer[0] == status, answer
        assert answer[1]
        assert answer[2][WRITTEN] == "0"
        assert receiver.place.out == []
        assert (await receiver.post(BODY))[0] == 204


async def test_a_sender_is_told_to_come_again() -> None:
    async with Receiver() as receiver:
        receiver.place.room = False
        status, _, headers = await receiver.post(BODY)
        assert (status, headers["Retry-After"], headers[WRITTEN]) == (503, "1", "0")
        receiver.place.room = True
        assert (await receiver.post(BODY))[0] == 204


async def test_what_is_read_at_once_is_bounded_and_given_back() -> None:
    body = snappy.compress(write_v1(SERIES * 500))
    async with Receiver('max_in_flight_size = "20KiB"') as receiver:
        for _ in range(3):
            assert (await receiver.post(body))[0] == 503
        for _ in range(3):
            assert (await receiver.post(BODY))[0] == 204


async def test_good_series_are_written_beside_bad_ones() -> None:
    bad = Series((("job", "nameless"),), [Sample(1, 1)])
    async with Receiver() as receiver:
        status, text, headers = await receiver.post(snappy.compress(write_v1([bad, *SERIES])))
        assert (status, headers[WRITTEN]) == (400, "3")
        assert "__name__" in text
        assert receiver.place.items == 3
        counted = {i.name: value for i, _, value, _ in receiver.place.counters.series()}
        assert counted["spangate.prometheus.samples.dropped"] == 1


async def test_who_may_write_and_where() -> None:
    async with Receiver('auth = { bearer = ["secret"] }\npath = "/w"') as receiver:
        assert (await receiver.post(BODY, "/w"))[0] == 401
        allowed = {"Authorization": "Bearer secret"}
        assert (await receiver.post(BODY, "/api/v1/write", **allowed))[0] == 404
        assert (await receiver.post(BODY, "/w", **allowed))[0] == 204
        receiver.place.wanted = set()
        assert (await receiver.post(BODY, "/w", **allowed))[0] == 404


async def test_large_messages_are_read_in_a_thread() -> None:
    many = [Series((("__name__", f"m{n}"),), [Sample(n, 1_700_000_000_000)]) for n in range(2000)]
    async with Receiver() as receiver:
        assert (await receiver.post(snappy.compress(write_v1(many))))[2][WRITTEN] == "2000"
        assert receiver.place.items == 2000
