"""OTLP over WebSocket: binary messages that are requests, one answer for each, in order.

A format of ours, written down in docs/otlp-websocket.md, for senders that want one connection
with back-pressure through whatever passes HTTP/1.1. A message is a serialised Export…Request of
the path's signal; the answer is one byte, the gRPC code, and behind it for 0 a serialised
Export…Response, otherwise a google.rpc.Status.
"""

from __future__ import annotations

from aiohttp import WSMsgType, web

from proxy.otlp.inflate import is_known
from proxy.otlp.inflow import Inflow
from proxy.otlp.partial import response_bytes
from proxy.otlp.refusal import MALFORMED, NO_CODING, OVERLOADED, Refusal, status_bytes
from proxy.otlp.server import Taker, taken
from proxy.web.requests import coding

PROTOCOL = "otlp.v1"
OK = b"\x00"
MOST = 1000  # connections
_HEARTBEAT = 30.0  # seconds; a peer that is gone without a word is noticed after twice that


def is_upgrade(request: web.BaseRequest) -> bool:
    return request.method == "GET" and request.headers.get("Upgrade", "").lower() == "websocket"


async def converse(
    request: web.BaseRequest,
    signal: str,
    inflow: Inflow,
    take: Taker,
    open_sockets: set[web.WebSocketResponse],
) -> web.WebSocketResponse:
    """Serve one connection until either side closes it."""
    encoding = coding(request)
    if not is_known(encoding):
        raise Refusal(NO_CODING)
    if len(open_sockets) >= MOST:
        raise Refusal(OVERLOADED)
    socket = web.WebSocketResponse(
        protocols=(PROTOCOL,), heartbeat=_HEARTBEAT, compress=False, max_msg_size=inflow.cap
    )
    try:
        await socket.prepare(request)
    except ValueError as error:  # of a key that is not even ASCII
        raise Refusal(MALFORMED, f"Sec-WebSocket-Key: {error}") from None
    open_sockets.add(socket)
    try:
        async for message in socket:
            if message.type is not WSMsgType.BINARY:
                answer = _refused(Refusal(MALFORMED, "messages are binary"))
            else:
                answer = await _answer(signal, message.data, encoding, inflow, take)
            await socket.send_bytes(answer)
    except ConnectionError:  # the peer went away before its answer
        pass
    finally:
        open_sockets.discard(socket)
    return socket


async def _answer(signal: str, data: bytes, encoding: str, inflow: Inflow, take: Taker) -> bytes:
    body = inflow.body(encoding)
    try:
        await body.feed(data)
        rejected = await taken(take(signal, await body.finish()))
    except Refusal as refusal:
        return _refused(refusal)
    finally:
        body.close()
    return OK + response_bytes(rejected)


def _refused(refusal: Refusal) -> bytes:
    return bytes((refusal.reason.grpc,)) + status_bytes(refusal.reason, refusal.message)
