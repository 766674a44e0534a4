"""The lines that the gateway adds to every answer, an upstream's and its own alike."""

from __future__ import annotations

from time import time

from proxy.access.secure_headers import lacking
from proxy.errors import ClientError
from proxy.http.date import imf_fixdate
from proxy.http.edits import NO_EDITS, Edits
from proxy.http.head import Pair, ResponseHead, made_response
from proxy.http.headers import bits, own, without
from proxy.kernel.clock import monotonic_ns, time_ns
from proxy.server.house import House
from proxy.server.reply import synthesize
from proxy.server.snapshot import Snapshot
from proxy.telemetry.facts import Exchange, Told
from proxy.tracing import ids

REQUEST_ID = own(b"x-request-id")
_OWN_ID = bits([REQUEST_ID])
CAPTURED = "http.response.header."  # how attributes begin that hold fields of answers


def lines(x: Exchange, snapshot: Snapshot, edits: Edits, head: ResponseHead) -> list[Pair]:
    """What no route could know beforehand. What the route's `edits` say about a field wins."""
    more: list[Pair] = []
    own_id = (head.field(REQUEST_ID) if head.seen & _OWN_ID else None) or x.request_id
    if own_id:
        more.append((b"x-request-id", own_id))
    if snapshot.trace_header:
        head.drop(snapshot.trace_header)  # that of another gateway behind this one
        more.append((snapshot.trace_header, x.trace_id))
    if not head.dated and head.status != 101:
        more.append((b"date", imf_fixdate(int(time()))))  # RFC 9110 §6.6.1
    if x.told is not None:
        _told(x.told, edits, head, more)
    if edits.removed is not None:
        more = without(more, edits.removed)
    if snapshot.response_headers:
        x.captured += edits.read(head, more, snapshot.response_headers)
    return more


def _told(told: Told, edits: Edits, head: ResponseHead, more: list[Pair]) -> None:
    """What only some routes tell."""
    if told.drops:
        head.remove(told.drops)
    more += told.rate
    more += told.lines
    if told.secure:
        more += lacking(told.secure, head, edits)


def refusal(house: House, error: ClientError) -> tuple[ResponseHead, list[Pair], bytes]:
    """The answer to what never became a request. It has ids like all others, but no span."""
    snapshot = house.snapshot
    own = synthesize(error, None)
    x = Exchange(monotonic_ns(), time_ns())
    x.trace_id = ids.trace_id(house.getrandbits)
    if snapshot.request_id:
        x.request_id = ids.request_id(house.getrandbits)
    if snapshot.errors is not None:
        own = snapshot.errors.dressed(own, error, None, x)
    head = made_response(own.status, own.headers, len(own.body))
    return head, lines(x, snapshot, NO_EDITS, head), own.body
