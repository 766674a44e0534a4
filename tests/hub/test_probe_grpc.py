"""Probes by gRPC's health checking protocol, against a real gRPC server and odd ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from proxy.config.model import Health
from proxy.config.units import Seconds
from proxy.hub import probe_grpc
from proxy.hub.probe import Asker, Verdict
from tests.harness import Backend
from tests.server.grpc_kit import serving
from tests.server.h2_backend import H2Backend, Stream
from tests.server.kit import refusing

MANY = "s" * 200


class HealthService(grpc.GenericRpcHandler):
    """grpc.health.v1.Health with statuses by service, as grpcio-health-checking answers."""

    def __init__(self, statuses: dict[str, int]) -> None:
        self._statuses = {probe_grpc.message(name)[5:]: code for name, code in statuses.items()}

    def service(self, details: Any) -> Any:
        if details.method != probe_grpc.PATH.decode():
            return None
        return grpc.unary_unary_rpc_method_handler(self._check)

    async def _check(self, request: bytes, context: Any) -> bytes:
        if request not in self._statuses:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b"\x08" + bytes((self._statuses[request],))


async def ask(url: str, service: str) -> Verdict:
    asker = Asker()
    health = Health(grpc=service, timeout=Seconds(1))
    try:
        return await asker.ask(url + health.path, health, protocol="h2")
    finally:
        await asker.close()


@pytest.mark.parametrize(
    ("service", "ok", "said"),
    [
        ("", True, "answered SERVING"),
        ("orders", True, "answered SERVING"),
        (MANY, True, "answered SERVING"),
        ("ill", False, "answered NOT_SERVING"),
        ("odd", False, "answered SERVICE_UNKNOWN"),
        ("other", False, "answered NOT_FOUND: it knows no service 'other'"),
    ],
)
async def test_a_real_server(service: str, ok: bool, said: str) -> None:
    known = HealthService({"": 1, "orders": 1, MANY: 1, "ill": 2, "odd": 3})
    async with serving(known) as port:
        verdict = await ask(f"http://127.0.0.1:{port}", service)
    assert (verdict.ok, verdict.said) == (ok, said)
    assert verdict.error == ("" if ok else "grpc_health")


async def test_a_server_without_the_protocol_says_whose_fault_it_is() -> None:
    async with serving(HealthServiceNone()) as port:
        verdict = await ask(f"http://127.0.0.1:{port}", "")
    assert verdict.ok is False
    assert verdict.said.startswith("answered UNIMPLEMENTED: the probe is misconfigured")


class HealthServiceNone(grpc.GenericRpcHandler):
    def service(self, details: Any) -> Any:
        return None


GRPC = ("content-type", "application/grpc")
ODD: dict[str, tuple[Callable[[Stream], object], str]] = {
    "a page": (lambda s: s.head(404, end=True), "answered 404, which is no gRPC"),
    "no status": (lambda s: s.ok(b"ok"), "answered UNKNOWN"),
    "no message": (lambda s: (s.head(200, GRPC), s.end(("grpc-status", "0"))), "no HealthCheck"),
    "half a message": (
        lambda s: (s.head(200, GRPC), s.data(b"\0\0\0\0\2\x08"), s.end(("grpc-status", "0"))),
        "answered no HealthCheckResponse",
    ),
    "an empty message": (
        lambda s: (s.head(200, GRPC), s.data(bytes(5)), s.end(("grpc-status", "0"))),
        "answered UNKNOWN",
    ),
    "trailers-only": (lambda s: s.head(200, GRPC, ("grpc-status", "14"), end=True), "UNAVAILABLE"),
}


@pytest.mark.parametrize(("odd", "said"), ODD.values(), ids=ODD.keys())
async def test_odd_answers(odd: Callable[[Stream], object], said: str) -> None:
    async def handle(stream: Stream) -> None:
        odd(stream)

    async with H2Backend(handle) as backend:
        verdict = await ask(backend.url, "orders")
        assert verdict.ok is False and said in verdict.said
        (stream,) = backend.streams
        assert [stream[n] for n in (":method", ":path", "te", "content-type")] == [
            "POST",
            "/grpc.health.v1.Health/Check",
            "trailers",
            "application/grpc",
        ]


async def test_a_server_of_http_1() -> None:
    async with Backend() as backend:
        verdict = await ask(backend.url, "")
    assert verdict.ok is False and "HTTP/1.1" in verdict.said


async def test_nobody_there() -> None:
    with refusing() as url:
        verdict = await ask(url, "")
    assert (verdict.ok, verdict.error) == (False, "connection_refused")
