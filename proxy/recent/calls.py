"""Calls: who called whom in one trace, told by its spans.

A call is a CLIENT or PRODUCER span. Whom it called is the service that recorded the SERVER span
below it, else what the span itself says (`peer.service`, a database, a broker). Who made it is the
service that recorded it; for a gateway, which only hands on, it is the service whose call came in:
the parent of the gateway's SERVER span. Where that parent is a gateway's own CLIENT span, the
service it had called has no spans of its own and passed the context on, so it is the caller. That
is how services without instrumentation have a place on the map. Where nobody else is known, the
gateway is the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from proxy.kernel import spanscan

if TYPE_CHECKING:
    from proxy.kernel.spanscan import Row
from proxy.otlp.envelope import SCOPE_NAME
from proxy.recent.model import CLIENT, CONSUMER, ERROR, PRODUCER, SERVER

GATEWAY = SCOPE_NAME  # the scope of a gateway's spans, this one's or another's
MOST_NAME = 200  # characters of a node's name

_ATTRIBUTES = 9  # field of a span
_PEER = {
    b"peer.service": 0, b"db.namespace": 1, b"db.system.name": 2, b"db.system": 3,
    b"messaging.destination.name": 4, b"messaging.system": 5, b"server.address": 6,
    b"server.port": 7,
}  # fmt: skip


class Piece(NamedTuple):
    """What the map needs of one span; times in Unix ns."""

    span_id: bytes
    parent_id: bytes
    kind: int
    start: int
    end: int
    failed: bool
    service: str
    is_gateway: bool
    peer: str  # whom it says that it called, "" if it does not


class Call(NamedTuple):
    source: str
    target: str
    took: int  # ns
    failed: bool
    is_continued: bool  # the target's own span is a child of the call's
    is_through: bool  # by a gateway


def piece(service: str, scope: str, buf: bytes, row: Row) -> Piece:
    """`row` is of `buf`; a service without a name is called "unknown"."""
    kind, is_gateway = row[4], scope == GATEWAY
    peer = _peer(buf, row, is_gateway) if kind in (CLIENT, PRODUCER) else ""
    service = service[:MOST_NAME] or "unknown"
    return Piece(
        row[1], row[2], kind, row[5], row[6], row[7] == ERROR, service, is_gateway, peer
    )  # fmt: skip


def _peer(buf: bytes, row: Row, is_gateway: bool) -> str:
    found = spanscan.pick(buf, row[8], row[9], _ATTRIBUTES, _PEER)
    words = [_word(value) for value in found]
    service, database, system, old_system, destination, broker, host, port = words
    if service:
        return service
    if system := system or old_system:
        return f"{system}/{database}" if database else system
    if broker or destination:
        return f"{broker}/{destination}" if broker and destination else broker or destination
    # Hosts of other applications' calls are too many to be services.
    return (f"{host}:{port}" if port else host) if is_gateway else ""


def _word(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")[:MOST_NAME]
    return "" if value is None else str(value)


def has_orphans(pieces: Collection[Piece]) -> bool:
    """Whether some span has a parent that is not there."""
    ids = {one.span_id for one in pieces}
    return any(one.parent_id and one.parent_id not in ids for one in pieces)


def calls(pieces: Collection[Piece]) -> Iterator[Call]:
    """All calls of one trace."""
    by_id = {one.span_id: one for one in pieces}
    served: dict[bytes, Piece] = {}  # by the id of the call
    called: set[bytes] = set()  # gateway spans that made calls
    for one in by_id.values():
        if one.kind in (SERVER, CONSUMER):
            served.setdefault(one.parent_id, one)
        elif one.kind == CLIENT and one.is_gateway:
            called.add(one.parent_id)
    for one in by_id.values():
        call = None
        if one.kind in (CLIENT, PRODUCER):
            call = _made(one, by_id, served.get(one.span_id), called)
        elif one.kind in (SERVER, CONSUMER) and not one.is_gateway:
            call = _received(one, by_id.get(one.parent_id))
        if call is not None:
            yield call


def _made(
    one: Piece, by_id: Mapping[bytes, Piece], server: Piece | None, called: set[bytes]
) -> Call | None:
    """What a CLIENT span tells."""
    if server is not None and server.is_gateway:
        if one.is_gateway:
            server = None  # what was called has no spans of its own, and passed the context on
        elif server.span_id in called:
            return None  # the gateway hands it on, and tells whom to
    source = _caller(by_id.get(one.parent_id), by_id, one) if one.is_gateway else one.service
    target = server.service if server is not None else one.peer
    if not target:
        return None
    failed = one.failed or (server is not None and server.failed)
    took = max(0, one.end - one.start)
    is_continued = server is not None
    return Call(source, target, took, failed, is_continued, one.is_gateway)


def _caller(request: Piece | None, by_id: Mapping[bytes, Piece], one: Piece) -> str:
    """Whose request that gateway served when it made this call."""
    parent = by_id.get(request.parent_id) if request is not None else None
    if parent is None:
        return one.service
    if parent.is_gateway:
        return parent.peer if parent.kind == CLIENT and parent.peer else one.service
    return parent.service


def _received(one: Piece, parent: Piece | None) -> Call | None:
    """What a SERVER span tells: that it was called, if no CLIENT span does."""
    if parent is None or parent.kind in (CLIENT, PRODUCER) or parent.service == one.service:
        return None
    took = max(0, one.end - one.start)
    return Call(parent.service, one.service, took, one.failed, True, parent.is_gateway)
