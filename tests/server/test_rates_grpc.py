"""A gRPC call that is one too many."""

from __future__ import annotations

from tests.harness import gateway
from tests.server.grpc_kit import file
from tests.server.kit import traces
from tests.server.test_grpc import asked


async def test_a_call_is_told_that_a_resource_is_exhausted() -> None:
    async with gateway(file("http://127.0.0.1:9", 'rate = "1/h"')) as gate:
        await asked(gate)
        got = await asked(gate)
        assert got.status == 200 and got.body == b""
        assert got["grpc-status"] == "8"
        assert "rate limit 1/h" in got["grpc-message"]
        assert got["proxy-status"].endswith('; details="rate limit 1/h"')
        assert (got["ratelimit"], got["retry-after"]) == ('"1/h";r=0;t=3600', "3600")
        second = (await traces(gate, 2))[1]
        assert second.about["spangate.denied.reason"] == "rate limit 1/h"
        assert not second.clients
