"""gRPC's interoperability cases, by grpcio on both sides of the gateway, without and with TLS.

The names are those of grpc/doc interop-test-descriptions.md. What each leaves in the trace is in
the table too: the code, and whether it is the server's error.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.server.grpc_kit import SERVICE, SPECIAL, Caller, calling, calling_tls
from tests.server.kit import check_shape, trace

Case = Callable[[Caller], Awaitable[Any]]
SIZES = (31415, 9, 2653, 58979)


async def empty_unary(by: Caller) -> None:
    assert await by.unary("EmptyCall")(b"") == b""


async def large_unary(by: Caller) -> None:
    call = by.unary()(bytes(271828), metadata=(("x-size", "314159"),))
    assert await call == bytes(314159)
    assert await call.code() is grpc.StatusCode.OK


async def client_streaming(by: Caller) -> None:
    async def requests() -> AsyncIterator[bytes]:
        for size in (27182, 8, 1828, 45904):
            yield bytes(size)

    assert await by.collect()(requests()) == b"74922"


async def server_streaming(by: Caller) -> None:
    call = by.produce()(",".join(map(str, SIZES)).encode())
    assert [len(message) async for message in call] == list(SIZES)


async def ping_pong(by: Caller) -> None:
    call = by.duplex()()
    for size in SIZES:
        await call.write(str(size).encode())
        assert len(await call.read()) == size
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def empty_stream(by: Caller) -> None:
    call = by.duplex()()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def custom_metadata(by: Caller) -> None:
    initial, trailing = "test_initial_metadata_value", b"\x0a\x0b\x0a\x0b\xab\xff\x00"
    metadata = (
        ("x-grpc-test-echo-initial", initial),
        ("x-grpc-test-echo-trailing-bin", trailing),
    )
    call = by.unary()(b"1", metadata=metadata)
    assert await call == b"1"
    assert dict(await call.initial_metadata())["x-grpc-test-echo-initial"] == initial
    assert dict(await call.trailing_metadata())["x-grpc-test-echo-trailing-bin"] == trailing


async def status_code_and_message(by: Caller) -> None:
    metadata = (("x-code", "2"), ("x-message", "test status message"))
    code, details = await failing(by.unary()(b"", metadata=metadata))
    assert (code, details) == (grpc.StatusCode.UNKNOWN, "test status message")


async def special_status_message(by: Caller) -> None:
    metadata = (("x-code", "2"), ("x-message", "special"))
    code, details = await failing(by.unary()(b"", metadata=metadata))
    assert (code, details) == (grpc.StatusCode.UNKNOWN, SPECIAL)


async def status_after_messages(by: Caller) -> None:
    call = by.produce()(b"5,6", metadata=(("x-code", "9"),))
    got = []
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async for message in call:
            got.append(len(message))
    assert got == [5, 6]
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


async def unimplemented_method(by: Caller) -> None:
    code, _ = await failing(by.unary("UnimplementedCall")(b""))
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def unimplemented_service(by: Caller) -> None:
    code, _ = await failing(by.unary("UnimplementedCall", "grpc.testing.Unimplemented")(b""))
    assert code is grpc.StatusCode.UNIMPLEMENTED


async def cancel_after_begin(by: Caller) -> None:
    call = by.duplex()(metadata=(("x-grpc-test-echo-initial", "x"),))
    await call.initial_metadata()
    call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    await asyncio.wait_for(by.service.ended.wait(), 5)


async def cancel_after_first_response(by: Caller) -> None:
    call = by.duplex()()
    await call.write(b"31415")
    assert len(await call.read()) == 31415
    call.cancel()
    assert await call.code() is grpc.StatusCode.CANCELLED
    await asyncio.wait_for(by.service.ended.wait(), 5)


async def timeout_on_sleeping_server(by: Caller) -> None:
    code, _ = await failing(by.unary()(b"", metadata=(("x-sleep", "60"),), timeout=1))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0 < by.service.times[0] <= 1.05
    await asyncio.wait_for(by.service.ended.wait(), 5)


async def failing(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


# case: what rpc.response.status_code says, error.type of the SERVER span
CASES: dict[Case, tuple[str, str | None]] = {
    empty_unary: ("OK", None),
    large_unary: ("OK", None),
    client_streaming: ("OK", None),
    server_streaming: ("OK", None),
    ping_pong: ("OK", None),
    empty_stream: ("OK", None),
    custom_metadata: ("OK", None),
    status_code_and_message: ("UNKNOWN", "UNKNOWN"),
    special_status_message: ("UNKNOWN", "UNKNOWN"),
    status_after_messages: ("FAILED_PRECONDITION", None),
    unimplemented_method: ("UNIMPLEMENTED", "UNIMPLEMENTED"),
    unimplemented_service: ("UNIMPLEMENTED", "UNIMPLEMENTED"),
    cancel_after_begin: ("CANCELLED", None),
    cancel_after_first_response: ("CANCELLED", None),
    timeout_on_sleeping_server: ("DEADLINE_EXCEEDED", "timeout"),
}


def way(name: str, folder: Path) -> contextlib.AbstractAsyncContextManager[Caller]:
    return calling() if name == "plaintext" else calling_tls(folder)


@pytest.mark.parametrize("name", ["plaintext", "mTLS"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
async def test_interoperability(case: Case, name: str, tmp_path: Path) -> None:
    code, error = CASES[case]
    async with way(name, tmp_path) as by:
        await case(by)
        seen = await trace(by.gate)
    check_shape(seen)
    (tried,) = seen.tried
    assert seen.about["rpc.system.name"] == tried["rpc.system.name"] == "grpc"
    assert seen.about["rpc.response.status_code"] == tried["rpc.response.status_code"] == code
    told = seen.about.get("error.type")
    assert told == error or told == "DEADLINE_EXCEEDED" == code, "or the server was the first"
    assert seen.about.get("spangate.client_gone") == (True if code == "CANCELLED" else None)
    assert seen.server.status.code == (2 if error else 0)
    assert (tried.get("error.type") is not None) is (code not in ("OK", "CANCELLED"))
    assert seen.about["network.protocol.version"] == tried["network.protocol.version"] == "2"
    if "unimplemented" in case.__name__:
        assert seen.server.name == "grpc" and seen.about["rpc.method"] == "_OTHER"
    elif code not in ("CANCELLED", "DEADLINE_EXCEEDED"):
        assert seen.server.name == seen.clients[0].name == seen.about["rpc.method"]
        assert seen.server.name.startswith(SERVICE + "/")
