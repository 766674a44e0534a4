from __future__ import annotations

import pytest

from proxy.telemetry import blocks
from proxy.telemetry.blocks import GONE, RouteBlocks, client_error, server_error
from proxy.telemetry.metrics import Registry


@pytest.mark.parametrize(
    ("status", "error", "on_server", "on_client"),
    [
        (200, "", "", ""),
        (304, "", "", ""),
        (404, "", "", "404"),
        (404, "404", "", "404"),
        (500, "", "500", "500"),
        (503, "connection_refused", "connection_refused", "connection_refused"),
        (0, "connection_reset", "connection_reset", "connection_reset"),
        (200, "response_truncated", "response_truncated", "response_truncated"),
        (404, "response_truncated", "response_truncated", "response_truncated"),
        (0, GONE, "", ""),
        (500, GONE, "", ""),
    ],
)
def test_what_counts_as_an_error(status: int, error: str, on_server: str, on_client: str) -> None:
    assert server_error(status, error) == on_server
    assert client_error(status, error) == on_client


def test_labels_cannot_take_the_place_of_attributes_that_mean_something() -> None:
    route = RouteBlocks("a", "/a", {"team": "shop", "http.route": "/b", "url.path": "/c"})

    assert route.labels == {"team": "shop"}


def test_a_new_snapshot_goes_on_counting_in_the_same_series() -> None:
    registry, kind = Registry(), ("GET", 200, "", "http", "1.1")
    before, after = (RouteBlocks("a", "/a", {"team": "shop"}) for _ in range(2))

    before.server(kind, registry).duration.record(1)
    after.server(kind, registry).duration.record(1)

    (point,) = registry.report().histograms.values()
    assert sum(point.counts) == 2


def test_blocks_do_not_grow_without_end() -> None:
    route, registry = RouteBlocks("a", "/a", {}), Registry(cap=5)
    for number in range(blocks.CLIENTS_LIMIT * 2):
        route.server(("GET", 200, f"odd-{number}", "http", "1.1"), registry)
        route.client(("GET", f"h:{number}", "u", "http", "1.1", 200, ""), ("h", number), registry)

    assert len(route.servers) <= blocks.KINDS_LIMIT
    assert len(route.clients) <= blocks.CLIENTS_LIMIT


def test_a_thousand_endpoints_keep_their_blocks() -> None:
    route, registry = RouteBlocks("a", "/a", {}), Registry()

    for number in range(1000):
        for status in (200, 404):
            kind = ("GET", f"h:{number}", "u", "http", "1.1", status, "")
            route.client(kind, ("h", number), registry)

    assert len(route.clients) == 2000
