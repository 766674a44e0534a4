"""What is recorded of gRPC calls besides what is recorded of every request.

A call has its own blocks (`blocks.py`), whose names and attributes are those of the conventions for
RPC, and is counted twice: as the HTTP request that it is, so that those numbers are of all
requests, and as a call. A kind has two more parts then, the method and gRPC's status.

`rpc.method` comes from a stranger's path, so only what is known to be a method becomes a name, and
a label: what an upstream has answered with anything but UNIMPLEMENTED, or a route's whole path.
Until then it is "_OTHER", and the span alone says what was asked for (semantic conventions 1.45,
rpc-spans.md, grpc.md).
"""

from __future__ import annotations

from proxy.http.grpc import NAMES, method_of
from proxy.telemetry.blocks import (
    OTHER,
    ClientBlock,
    ClientKind,
    RouteBlocks,
    ServerBlock,
    ServerKind,
)
from proxy.telemetry.facts import Call, Exchange
from proxy.telemetry.metrics import Registry

MOST_METHODS = 256  # that are known of one route
MOST_BLOCKS = 4096  # kept for each route; beyond it all are made anew


def method(route: RouteBlocks, call: Call) -> str:
    """rpc.method of a call that has ended."""
    name = call.name
    if name in route.methods:
        return name
    if not call.is_recognised and route.template != "/" + name:
        return OTHER
    if not method_of("/" + name) or len(route.methods) >= MOST_METHODS:
        return OTHER
    route.methods |= {name}
    return name


def server_block(
    route: RouteBlocks, kind: ServerKind, call: Call, registry: Registry
) -> tuple[ServerBlock, bool]:
    """The block of that kind of call, and whether it is new."""
    rpc = (method(route, call), NAMES[call.status])
    key = (*kind, *rpc)
    block = route.calls.get(key)
    if isinstance(block, ServerBlock):
        return block, False
    made = ServerBlock(route, kind, registry, rpc)
    _keep(route, key, made)
    return made, True


def client_block(
    route: RouteBlocks,
    kind: ClientKind,
    address: tuple[str, int],
    call: Call,
    code: int,
    registry: Registry,
) -> ClientBlock:
    """The same of an attempt that ended with this status; `address`: host, port."""
    rpc = (method(route, call), NAMES[code])
    key = (*kind, *rpc)
    block = route.calls.get(key)
    if isinstance(block, ClientBlock):
        return block
    made = ClientBlock(route, kind, address, registry, rpc)
    _keep(route, key, made)
    return made


def originals(exchange: Exchange, method: str) -> list[tuple[str, str]]:
    """What was asked for where a block says "_OTHER"; `method` is the block's."""
    found = [("http.request.method_original", exchange.method)] if method == OTHER else []
    call, route = exchange.call, exchange.route
    if call is not None and (route is None or call.name not in route.methods):
        found.append(("rpc.method_original", call.name))
    return found


def _keep(route: RouteBlocks, key: tuple[object, ...], made: ServerBlock | ClientBlock) -> None:
    if len(route.calls) >= MOST_BLOCKS:
        route.calls.clear()
    route.calls[key] = made
