"""Clusters of a control plane that read well, and that the gateway refuses all the same."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from tests.hub.gateway import fetch
from tests.peers import xds_protos
from tests.ports import free_port

if not xds_protos.are_here():
    pytest.skip(
        "xds-protos is not in build/xds-protos (.ci/run puts it there)", allow_module_level=True
    )

from tests.peers import xds_made as made
from tests.peers.xds_server import Server
from tests.sources.xds.test_listeners import PONG, gateway, said

pytestmark = pytest.mark.timeout(300)

WRONG = {
    "health_checks": [
        {
            "timeout": "1s",
            "interval": "1s",
            "unhealthy_threshold": 3,
            "healthy_threshold": 2,
            "http_health_check": {"path": "healthz"},
        }
    ]
}


async def test_a_pipe_in_the_place_of_a_file_holds_up_nothing(
    server: Server, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "ca.pem")
    context = {"validation_context": {"trusted_ca": {"filename": str(tmp_path / "ca.pem")}}}
    kind = f"{made.EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext"
    socket = {"name": "tls", "typed_config": {"@type": kind, "common_tls_context": context}}
    to_c = made.route({"prefix": "/c"}, "c")
    server.put(made.cluster("c", transport_socket=socket), made.endpoints("c"))
    server.put(made.routes("r", made.host("v", ["*"], to_c)), made.listener("l", free_port(), "r"))
    async with gateway(tmp_path, server) as hub:
        await said(hub, "is in force: 1 routes")
        (reason,) = {a.reason for a in server.answers if a.reason}
        assert "ca.pem: it is no file, but a pipe or a device" in reason


async def test_a_cluster_that_is_refused_holds_up_nothing_else(
    server: Server, tmp_path: Path
) -> None:
    port = free_port()
    to_c = made.route({"prefix": "/c"}, "c")
    server.put(made.routes("r", made.host("v", ["*"], to_c, PONG)), made.listener("l", port, "r"))
    server.put(made.cluster("c", **WRONG), made.cluster("d"), made.endpoints("c"))
    async with gateway(tmp_path, server) as hub:
        await said(hub, "is in force: 2 routes")
        answer = await asyncio.to_thread(fetch, port, "/")
        assert (answer[0], answer[2]) == (200, b"p")
        assert (await asyncio.to_thread(fetch, port, "/c"))[0] == 503
        await server.until(lambda: [a for a in server.answers if a.kind == "Cluster" and a.reason])
        (reason,) = {a.reason for a in server.answers if a.reason}
        assert reason.startswith("xDS cluster 'c': upstream.c.health.path: 'healthz' is not a path")
        gone = made.route({"prefix": "/x"}, direct_response={"status": 410})
        server.put(made.routes("r", made.host("v", ["*"], to_c, gone, PONG)))
        await said(hub, "is in force: 3 routes")
        assert (await asyncio.to_thread(fetch, port, "/x"))[0] == 410
    assert server.violations == []
