"""Whole collectors from their configuration: joined, started, flushed, and replaced by a reload."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from proxy.collector.pipeline import Pipeline
from proxy.collector.processors.batch import settings as process_batch
from proxy.config.observe import Export
from proxy.config.units import Seconds
from proxy.errors import ConfigError
from tests.collector.kit import RESOURCE, batch, collecting, plan, until
from tests.otlp import samples
from tests.otlp.fake_collector import HANG, Answer, FakeCollector

NEVER = 'timeout = "1h"'  # of a batch


def exporter(name: str, collector: FakeCollector, more: str = "") -> str:
    kind, scheme = ("grpc", "") if collector.protocol == "grpc" else ("http", "http://")
    return (
        f'[collector.exporters."otlp_{kind}/{name}"]\n'
        f'endpoint = "{scheme}localhost:{collector.port}"\n{more}\n'
    )


def pipeline(
    name: str, *ends: str, receivers: str = '"gateway"', processors: str = '"batch"'
) -> str:
    exporters = ", ".join(f'"{end}"' for end in ends)
    return (
        f'[collector.pipelines."{name}"]\nreceivers = [{receivers}]\n'
        f"processors = [{processors}]\nexporters = [{exporters}]\n"
    )


QUICK = '[collector.processors.batch]\ntimeout = "5ms"\n'
SLOW = f"[collector.processors.batch]\n{NEVER}\n"
OTLP = '[collector.receivers.otlp]\nhttp = "127.0.0.1:0"\n'


async def post(running: Pipeline, signal: str, items: int = 3) -> int:
    """One request to the receiver `otlp`; the status."""
    port = running.graph.nodes["receiver", "otlp"].stage.addresses["http"]
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"http://127.0.0.1:{port}/v1/{signal}",
            data=batch(signal, items).payload,  # type: ignore[arg-type]
            headers={"Content-Type": "application/x-protobuf"},
        ) as answer,
    ):
        return answer.status


async def test_gateway_and_applications_through_one_pipeline() -> None:
    async with FakeCollector() as backend:
        toml = OTLP + QUICK + exporter("b", backend)
        for signal in ("traces", "logs", "metrics"):
            toml += pipeline(signal, "otlp_http/b", receivers='"gateway", "otlp"')
        async with collecting(toml) as running:
            running.offer("traces", samples.spans(5), 5)
            running.offer("logs", samples.logs(5), 5)
            running.offer_metrics(samples.metrics(5), 5)
            for signal in ("traces", "logs", "metrics"):
                assert await post(running, signal) == 200
            for signal in ("traces", "logs", "metrics"):
                await backend.wait_items(signal, 8)
                ledger = running.books.open(signal, "otlp_http/b")  # type: ignore[arg-type]
                await until(lambda ledger=ledger: ledger.exported == 8)


async def test_several_pipelines_and_exporters() -> None:
    async with FakeCollector() as one, FakeCollector("grpc") as two:
        toml = QUICK + exporter("one", one) + exporter("two", two)
        toml += pipeline("traces/a", "otlp_http/one")
        toml += pipeline("traces/b", "otlp_http/one", "otlp_grpc/two", processors="")
        async with collecting(toml) as running:
            running.offer("traces", samples.spans(5), 5)
            await one.wait_items("traces", 10)
            await two.wait_items("traces", 5)
            await until(lambda: running.books.open("traces", "otlp_http/one").exported == 10)


async def test_a_connector_leads_from_one_pipeline_into_others() -> None:
    async with FakeCollector() as one, FakeCollector() as two:
        toml = (
            QUICK + exporter("one", one) + exporter("two", two) + "[collector.connectors.forward]\n"
        )
        toml += pipeline("traces", "forward")
        toml += pipeline("traces/one", "otlp_http/one", receivers='"forward"')
        toml += pipeline("traces/two", "otlp_http/two", receivers='"forward"')
        async with collecting(toml) as running:
            kinds = [(node.kind, node.pipeline) for node in running.graph.stages()]
            assert kinds[-1] == ("processor", "traces")
            assert kinds.index(("connector", "")) > kinds.index(("processor", "traces/two"))
            running.offer("traces", samples.spans(5), 5)
            await one.wait_items("traces", 5)
            await two.wait_items("traces", 5)
            ledger = running.books.open("traces", "forward")
            assert (ledger.created, ledger.exported) == (5, 5)


async def test_profiles_pass_through() -> None:
    async with FakeCollector() as backend:
        backend.accepted["profiles"], backend._rejected["profiles"] = [], 0
        toml = OTLP + QUICK + exporter("b", backend)
        toml += pipeline("profiles", "otlp_http/b", receivers='"otlp"')
        async with collecting(toml) as running:
            port = running.graph.nodes["receiver", "otlp"].stage.addresses["http"]
            url = f"http://127.0.0.1:{port}/v1development/profiles"
            for _ in range(2):
                async with (
                    aiohttp.ClientSession() as session,
                    session.post(
                        url,
                        data=b"\x0a\x01\x00",
                        headers={"Content-Type": "application/x-protobuf"},
                    ) as answer,
                ):
                    assert answer.status == 200
            await until(lambda: running.books.open("profiles", "otlp_http/b").exported == 2)
        assert {r.path for r in backend.received} == {"/v1development/profiles"}
        assert b"".join(r.payload for r in backend.received) == b"\x0a\x01\x00" * 2


async def test_both_forms_together() -> None:
    async with FakeCollector() as short, FakeCollector("grpc") as long:
        collector = plan(QUICK + exporter("long", long) + pipeline("traces", "otlp_grpc/long"))
        export = Export(otlp=[short.endpoint], batch_age=Seconds(0.005))
        running = Pipeline(export, RESOURCE, collector=collector)
        await running.start()
        running.offer("traces", samples.spans(4), 4)
        running.offer("logs", samples.logs(2), 2)
        await short.wait_items("traces", 4)
        await short.wait_items("logs", 2)
        await long.wait_items("traces", 4)
        await running.stop(5)
        assert running.books.balanced()


async def test_exports_of_a_single_signal_go_to_the_url_as_it_stands() -> None:
    async with FakeCollector() as backend:
        export = Export(
            otlp=["http://localhost:1"],
            traces=[f"http://localhost:{backend.port}/own/traces"],
            batch_age=Seconds(0.005),
        )
        running = Pipeline(export, RESOURCE)
        await running.start()
        running.offer("traces", samples.spans(4), 4)
        await backend.wait_items("traces", 4)
        await running.stop(1)
        assert backend.received[0].path == "/own/traces"


async def test_no_room_anywhere_is_told_to_senders_and_dropped_for_workers() -> None:
    async with FakeCollector() as backend:
        backend.default = HANG
        small = 'sending_queue = { queue_size = "2KB", num_consumers = 1 }\ntimeout = "5s"'
        toml = OTLP + exporter("b", backend, small)
        toml += pipeline("traces", "otlp_http/b", receivers='"gateway", "otlp"', processors="")
        async with collecting(toml) as running:
            while await post(running, "traces") == 200:
                pass
            ledger = running.books.open("traces", "otlp_http/b")
            assert (ledger.refused, ledger.dropped) == (3, {})
            running.offer("traces", samples.spans(3), 3)
            assert ledger.dropped == {"queue_full": 3}
            values = {(s.instrument.name, s.attributes): s.value for s in running.series()}
            where = (("exporter", "otlp_http/b"),)
            assert values["otelcol_exporter_enqueue_failed_spans", where] == 6
            assert values["otelcol_exporter_send_failed_spans", where] == 0
            backend.default = Answer()
            await running.stop(0.1)


async def test_what_processors_hold_and_drop_is_in_the_books() -> None:
    async with FakeCollector() as backend:
        toml = SLOW + exporter("b", backend) + pipeline("traces", "otlp_http/b")
        async with collecting(toml) as running:
            running.offer("traces", samples.spans(5), 5)
            ledger = running.books.open("traces", "otlp_http/b")
            assert (ledger.created, ledger.queued) == (5, 5)
        assert backend.items("traces") == 5


# -- starting ---------------------------------------------------------------------------------


async def test_a_receiver_that_cannot_listen_leaves_nothing_running() -> None:
    before = {t for t in asyncio.all_tasks() if not t.done()}
    async with FakeCollector() as backend:
        during = {t for t in asyncio.all_tasks() if not t.done()}
        toml = QUICK + exporter("b", backend)
        toml += f'[collector.receivers.otlp]\nhttp = "localhost:{backend.port}"\n'
        toml += pipeline("traces", "otlp_http/b", receivers='"otlp"')
        running = Pipeline(Export(), RESOURCE, collector=plan(toml))
        with pytest.raises(ConfigError, match=r"collector\.receivers\.otlp\.http: .*in use"):
            await running.start()
        assert {t for t in asyncio.all_tasks() if not t.done()} <= during
    assert before


# -- reloads ----------------------------------------------------------------------------------


async def reload(running: Pipeline, toml: str) -> None:
    change = await running.prepare(Export(), RESOURCE, plan(toml))
    await running.adopt(change, 5)


async def test_an_unchanged_configuration_changes_nothing() -> None:
    async with FakeCollector() as backend:
        toml = OTLP + SLOW + exporter("b", backend)
        toml += pipeline("traces", "otlp_http/b", receivers='"gateway", "otlp"')
        async with collecting(toml) as running:
            running.offer("traces", samples.spans(5), 5)
            before = running.graph
            await reload(running, toml)
            assert running.graph.chains == before.chains
            assert running.graph.nodes == before.nodes
            assert backend.received == []  # the batch was not even flushed
            assert await post(running, "traces") == 200
            assert running.books.open("traces", "otlp_http/b").queued == 8


async def test_what_is_queued_stays_queued() -> None:
    async with FakeCollector() as backend:
        await backend.die()
        toml = OTLP + exporter("b", backend)
        toml += pipeline("traces", "otlp_http/b", processors="")
        async with collecting(toml) as running:
            running.offer("traces", samples.spans(5), 5)
            kept = running.graph.nodes["exporter", "otlp_http/b"]
            more = QUICK + pipeline("logs", "otlp_http/b", receivers='"otlp"')
            await reload(running, toml.replace('"gateway"', '"gateway", "otlp"') + more)
            assert running.graph.nodes["exporter", "otlp_http/b"] is kept
            assert running.books.open("traces", "otlp_http/b").queued == 5
            await backend.revive()
            assert await post(running, "traces") == 200
            assert await post(running, "logs") == 200
            await backend.wait_items("traces", 8)
            await backend.wait_items("logs", 3)


async def test_processors_that_change_flush_what_they_hold() -> None:
    async with FakeCollector() as backend:
        toml = SLOW + exporter("b", backend) + pipeline("traces", "otlp_http/b")
        async with collecting(toml) as running:
            running.offer("traces", samples.spans(5), 5)
            await reload(running, toml.replace("1h", "2h"))
            running.offer("traces", samples.spans(2), 2)
            await backend.wait_items("traces", 5)
            await until(lambda: running.books.open("traces", "otlp_http/b").queued == 2)
        assert backend.items("traces") == 7


async def test_an_exporter_that_goes_delivers_first() -> None:
    async with FakeCollector() as one, FakeCollector() as two:
        toml = SLOW + exporter("one", one) + pipeline("traces", "otlp_http/one")
        async with collecting(toml) as running:
            running.offer("traces", samples.spans(5), 5)
            await reload(running, toml.replace("one", "two").replace(str(one.port), str(two.port)))
            running.offer("traces", samples.spans(2), 2)
            await one.wait_items("traces", 5)
        assert (one.items("traces"), two.items("traces")) == (5, 2)


async def test_a_receiver_moves_to_another_port() -> None:
    async with FakeCollector() as backend:
        toml = OTLP + QUICK + exporter("b", backend)
        toml += pipeline("traces", "otlp_http/b", receivers='"otlp"')
        async with collecting(toml) as running:
            before = running.graph.nodes["receiver", "otlp"].stage.addresses["http"]
            await post(running, "traces")
            await reload(running, toml.replace("127.0.0.1:0", "localhost:0"))
            assert running.graph.nodes["receiver", "otlp"].stage.addresses["http"] != before
            assert await post(running, "traces") == 200
            with pytest.raises(OSError, match="Connect"):
                await asyncio.open_connection("127.0.0.1", before)
            values = {(s.instrument.name, s.attributes): s.value for s in running.series()}
            where = (("receiver", "otlp"),)
            assert values["otelcol_receiver_accepted_spans", where] == 6  # never falls


async def test_a_receiver_keeps_its_port_with_other_settings() -> None:
    async with FakeCollector() as backend:
        toml = OTLP + QUICK + exporter("b", backend)
        toml += pipeline("traces", "otlp_http/b", receivers='"otlp"')
        async with collecting(toml) as first:
            port = first.graph.nodes["receiver", "otlp"].stage.addresses["http"]
        toml = toml.replace("127.0.0.1:0", f"127.0.0.1:{port}")
        async with collecting(toml) as running:
            await reload(running, toml.replace('"\n[coll', '"\nwebsocket = false\n[coll', 1))
            assert await post(running, "traces") == 200


async def test_a_receiver_that_cannot_move_goes_on_as_it_was() -> None:
    async with FakeCollector() as backend:
        toml = OTLP + QUICK + exporter("b", backend)
        toml += pipeline("traces", "otlp_http/b", receivers='"otlp"')
        async with collecting(toml) as running:
            port = running.graph.nodes["receiver", "otlp"].stage.addresses["http"]
            taken = toml.replace("127.0.0.1:0", f"localhost:{backend.port}")
            toml = toml.replace("127.0.0.1:0", f"127.0.0.1:{port}")
            await reload(running, toml)
            await reload(running, taken)
            assert await post(running, "traces") == 200
            await backend.wait_items("traces", 3)


@pytest.mark.parametrize("how", ["abandon", "fail"])
async def test_a_change_that_does_not_come_changes_nothing(how: str) -> None:
    async with FakeCollector() as backend, FakeCollector() as other:
        toml = OTLP + SLOW + exporter("b", backend)
        toml += pipeline("traces", "otlp_http/b", receivers='"otlp", "gateway"')
        async with collecting(toml) as running:
            tasks = {t for t in asyncio.all_tasks() if not t.done()}
            graph = running.graph
            new = toml + exporter("new", other) + pipeline("logs", "otlp_http/new")
            if how == "fail":
                new += f'[collector.receivers."otlp/2"]\nhttp = "localhost:{other.port}"\n'
                new += pipeline("metrics", "otlp_http/b", receivers='"otlp/2"')
                with pytest.raises(ConfigError, match="otlp/2"):
                    await running.prepare(Export(), RESOURCE, plan(new))
            else:
                change = await running.prepare(Export(), RESOURCE, plan(new))
                await change.abandon()
            await asyncio.sleep(0)
            assert {t for t in asyncio.all_tasks() if not t.done()} <= tasks
            assert running.graph is graph
            assert not running.wants("logs")
            assert await post(running, "traces") == 200
            assert running.books.open("traces", "otlp_http/b").queued == 3


async def test_a_new_resource_is_told_from_then_on() -> None:
    async with FakeCollector() as backend:
        toml = SLOW + exporter("b", backend) + pipeline("traces", "otlp_http/b")
        async with collecting(toml) as running:
            running.offer("traces", samples.spans(1), 1)
            moved: dict[str, Any] = {**RESOURCE, "service.name": "moved"}
            await running.adopt(await running.prepare(Export(), moved, plan(toml)), 5)
            running.offer("traces", samples.spans(1), 1)
        payloads = backend.accepted["traces"]
        assert sorted(b"moved" in payload for payload in payloads) == [False, True]


async def test_the_signal_of_a_gateway_that_nobody_took_before() -> None:
    async with FakeCollector() as backend:
        toml = QUICK + exporter("b", backend) + pipeline("traces", "otlp_http/b")
        async with collecting(toml) as running:
            running.offer("logs", samples.logs(2), 2)
            await reload(running, toml + pipeline("logs", "otlp_http/b"))
            running.offer("logs", samples.logs(3), 3)
            await backend.wait_items("logs", 3)
            assert running.books.open("logs", "none").dropped == {"no_exporter": 2}


# -- what it tells ----------------------------------------------------------------------------


async def test_the_view_shows_every_stage() -> None:
    async with FakeCollector() as backend:
        toml = OTLP + QUICK + exporter("b", backend)
        toml += pipeline("traces", "otlp_http/b", receivers='"gateway", "otlp"')
        async with collecting(toml) as running:
            await post(running, "traces", 4)
            await backend.wait_items("traces", 4)
            await backend.die()
            running.offer("traces", samples.spans(5), 5)
            await until(lambda: not running.view()["exporters"]["otlp_http/b"]["healthy"])
            view = running.view()
            chain = view["pipelines"]["traces"]
            assert chain["receivers"] == ["gateway", "otlp"]
            assert [stage["id"] for stage in chain["processors"]] == ["batch"]
            assert chain["processors"][0]["accepted"] == chain["accepted"] == 9
            assert chain["items_per_second"] > 0
            assert view["receivers"]["otlp"]["signals"]["traces"]["accepted"] == 4
            assert view["receivers"]["otlp"]["addresses"]["http"] > 0
            end = view["exporters"]["otlp_http/b"]
            assert end["state"] == "running"
            assert "connect" in end["last_error"]
            assert end["queue"]["bytes"] > 0
            assert end["signals"]["traces"]["exported"] == 4
            assert view["balanced"]
            await backend.revive()
            await until(lambda: running.view()["exporters"]["otlp_http/b"]["healthy"])


def test_batch_settings_reach_the_short_form() -> None:
    from proxy.collector.shortform import BATCH, lengthen

    made = lengthen(Export(otlp=["http://h"], batch_items=7), None)
    settings = made.processors[BATCH]
    assert isinstance(settings, process_batch.Settings)
    assert settings.send_batch_size == 7
