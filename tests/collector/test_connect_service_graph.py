from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from proxy.collector.batch import Batch
from proxy.errors import ConfigError
from tests.collector.kit import Place, settings
from tests.collector.tail_kit import Clock, batch, span
from tests.collector.test_connect_span_metrics import points

NAME = "traces_service_graph_"
SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5


def started(toml: str = "") -> tuple[Place, Any, Clock]:
    clock = Clock()
    place = Place("connector", "servicegraph", now_ns=clock)
    return place, place.make(toml), clock


def edges(batches: list[Batch], name: str = "request_total") -> dict[tuple[str, ...], int]:
    """{(client, server, connection_type): count}"""
    return {tuple(a.values()): p.as_int for a, p in points(batches, NAME + name)}


def call(trace: int = 1, **more: Any) -> list[Batch]:
    """`shop` calls `cart`: each sends its own span."""
    return [
        batch([span(trace, 2, parent=1, kind=CLIENT, ms=30)], service="shop"),
        batch([span(trace, 3, parent=2, kind=SERVER, ms=20, **more)], service="cart"),
    ]


@pytest.mark.parametrize("turned", [False, True])
async def test_two_ends_make_an_edge(turned: bool) -> None:
    place, stage, _ = started()
    for given_ in reversed(call()) if turned else call():
        place.send(given_)
    await stage.flush()
    assert edges(place.out) == {("shop", "cart", ""): 1}
    assert edges(place.out, "request_failed_total") == {("shop", "cart", ""): 0}
    (seen,) = points(place.out, NAME + "request_client_seconds")
    (took,) = points(place.out, NAME + "request_server_seconds")
    assert (round(seen[1].sum, 6), round(took[1].sum, 6)) == (0.03, 0.02)
    assert place.ledger.exported == 2


async def test_either_end_may_tell_that_it_failed() -> None:
    place, stage, _ = started()
    for given_ in (*call(1), *call(2, status=2)):
        place.send(given_)
    await stage.flush()
    assert edges(place.out) == {("shop", "cart", ""): 2}
    assert edges(place.out, "request_failed_total") == {("shop", "cart", ""): 1}


async def test_messages_are_edges_too() -> None:
    place, stage, _ = started()
    place.send(batch([span(1, 2, kind=PRODUCER)], service="shop"))
    place.send(batch([span(1, 3, parent=2, kind=CONSUMER)], service="mail"))
    await stage.flush()
    assert edges(place.out) == {("shop", "mail", "messaging_system"): 1}


@pytest.mark.parametrize("parent", [0, 9])
@pytest.mark.parametrize(
    ("attributes", "queue"),
    [
        ({"messaging.destination.name": "orders", "messaging.system": "kafka"}, "orders"),
        ({"messaging.system": "sqs", "server.address": "broker"}, "sqs"),
    ],
)
async def test_a_queue_stands_for_a_producer_that_sends_no_spans(
    attributes: dict[str, str], queue: str, parent: int
) -> None:
    place, stage, clock = started()
    more = {"parent": parent} if parent else {}
    place.send(batch([span(1, 3, kind=CONSUMER, attributes=attributes, **more)], service="mail"))
    place.send(batch([span(2, 4, kind=PRODUCER, attributes=attributes)], service="shop"))
    clock.step(3)
    await stage.flush()
    assert edges(place.out) == {
        (queue, "mail", "messaging_system"): 1,
        ("shop", queue, "messaging_system"): 1,
    }


@pytest.mark.parametrize(
    ("attributes", "edge"),
    [
        ({"db.name": "orders", "server.address": "db1"}, ("shop", "orders", "database")),
        ({"db.system.name": "redis", "server.address": "r"}, ("shop", "redis", "database")),
        ({"server.address": "api.example"}, ("shop", "api.example", "virtual_node")),
        ({"peer.service": "pay", "server.address": "10.0.0.1"}, ("shop", "pay", "virtual_node")),
        ({"service.peer.name": "pay", "peer.service": "old"}, ("shop", "pay", "virtual_node")),
        ({"spangate.upstream": "pay", "server.address": "h"}, ("shop", "pay", "virtual_node")),
        ({"rpc.service": "Pay", "rpc.system": "grpc"}, ("shop", "Pay", "virtual_node")),
        ({"net.peer.name": "pay.example"}, ("shop", "pay.example", "virtual_node")),
        ({"network.peer.address": "10.0.0.1"}, ("shop", "10.0.0.1", "virtual_node")),
        ({"db.system": "mysql"}, ("shop", "mysql", "database")),
    ],
)
async def test_an_end_that_sends_no_spans_is_a_node_by_its_name(
    attributes: dict[str, str], edge: tuple[str, ...]
) -> None:
    place, stage, clock = started('store = { ttl = "1s" }')
    place.send(batch([span(1, 2, kind=CLIENT, attributes=attributes)], service="shop"))
    await stage.flush()
    assert edges(place.out) == {}
    clock.step(1)
    await stage.flush()
    assert edges(place.out) == {edge: 1}
    assert points(place.out, NAME + "request_server_seconds") == []


async def test_unpaired_spans_are_counted() -> None:
    place, stage, _ = started()
    place.send(batch([span(1, 2, kind=CLIENT)], service="shop"))
    place.send(batch([span(1, 3, parent=9, kind=SERVER)], service="cart"))
    await stage.stop(1)
    found = edges(place.out, "unpaired_spans_total")
    assert found == {("shop", "", ""): 1, ("", "cart", ""): 1}
    assert edges(place.out) == {}


async def test_a_root_is_called_by_a_user() -> None:
    place, stage, _ = started("virtual_node_extra_label = true")
    place.send(batch([span(1, 2, kind=SERVER)], service="shop"))
    await stage.flush()
    assert edges(place.out) == {("user", "shop", "virtual_node", "client"): 1}


async def test_no_virtual_nodes_where_none_are_wanted() -> None:
    place, stage, _ = started("virtual_node_peer_attributes = []")
    place.send(batch([span(1, 2, kind=SERVER), span(1, 3, kind=CLIENT)], service="shop"))
    await stage.stop(1)
    assert edges(place.out) == {}
    assert sum(edges(place.out, "unpaired_spans_total").values()) == 2


async def test_dimensions_tell_whose_they_are() -> None:
    place, stage, _ = started('dimensions = ["zone", "team"]')
    client = span(1, 2, kind=CLIENT, attributes={"team": "t"})
    place.send(batch([client], service="shop", zone="a"))
    place.send(batch([span(1, 3, parent=2)], service="cart", zone="b"))
    await stage.flush()
    ((found, _),) = points(place.out, NAME + "request_total")
    extra = {k: v for k, v in found.items() if k.startswith(("client_", "server_"))}
    assert extra == {"client_zone": "a", "client_team": "t", "server_zone": "b"}


async def test_what_waits_is_bounded() -> None:
    place, stage, _ = started("store = { max_items = 5 }")
    place.send(batch([span(1, n, parent=99, kind=CLIENT) for n in range(1, 21)]))
    counts = {s.instrument.name: s.value for s in place.counters.series()}
    assert counts["otelcol_connector_servicegraph_waiting"] == 5
    assert counts["otelcol_connector_servicegraph_dropped_spans"] == 15
    await stage.stop(1)


async def test_edges_are_bounded() -> None:
    place, stage, _ = started("aggregation_cardinality_limit = 3")
    for n in range(10):
        place.send(batch([span(n + 1, 2, kind=CLIENT)], service=f"s{n}"))
        place.send(batch([span(n + 1, 3, parent=2)], service="cart"))
    await stage.flush()
    found = points(place.out, NAME + "request_total")
    assert (len(found), sum(p.as_int for _, p in found)) == (4, 10)
    assert found[-1][0] == {"otel.metric.overflow": True}


async def test_sampled_requests_count_as_many_as_they_stand_for() -> None:
    place, stage, _ = started()
    place.send(batch([span(2, 2, kind=CLIENT, trace_state="ot=th:8")], service="a"))
    place.send(batch([span(2, 3, parent=2, trace_state="ot=th:8")], service="b"))
    await stage.flush()
    assert edges(place.out)["a", "b", ""] == 2


async def test_flushes_come_by_themselves() -> None:
    place, stage, _ = started('metrics_flush_interval = "10ms"')
    await stage.start()
    for given_ in call():
        place.send(given_)
    async with asyncio.timeout(20):
        while not place.out:
            await asyncio.sleep(0.005)
    await stage.stop(1)


@hypothesis(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=20),
    st.randoms(use_true_random=False),
)
def test_every_call_is_counted_whatever_the_order(
    called: list[tuple[int, int]], dice: random.Random
) -> None:
    async def run() -> list[Batch]:
        place, stage, _ = started()
        ends = []
        for n, (client, server) in enumerate(called, 1):
            ends.append(batch([span(n, 2, parent=1, kind=CLIENT)], service=f"s{client}"))
            ends.append(batch([span(n, 3, parent=2)], service=f"s{server}"))
        dice.shuffle(ends)
        for end in ends:
            place.send(end)
        await stage.stop(1)
        return place.out

    expected: dict[tuple[str, ...], int] = {}
    for client, server in called:
        edge = (f"s{client}", f"s{server}", "")
        expected[edge] = expected.get(edge, 0) + 1
    assert edges(asyncio.run(run())) == expected


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("store = { ttl = 0 }", "for ever"),
        ("latency_histogram_buckets = []", "must rise"),
        ("metrics_flush_interval = 0", "never flush"),
    ],
)
def test_what_is_wrong_is_told(toml: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        settings("connector", "service_graph", toml)
    assert words in str(raised.value)
