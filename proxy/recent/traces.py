"""Traces: several of them decoded, and all spans as rows, for whoever makes lists of them.

What is on disk is at hand for traces that were asked for by their ids; lists are of memory alone.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from proxy.kernel import spanscan

if TYPE_CHECKING:
    from proxy.kernel.spanscan import Row
from proxy.otlp.wire import fields
from proxy.recent.decode import Part, spans_in
from proxy.recent.model import Span, Value
from proxy.recent.ring import Store
from proxy.recent.search import STEP
from proxy.recent.view import Step, at_hand, recall

DECODED = 500  # spans between two steps, of those that are decoded: about 8 ms


def traces_of(
    store: Store, wanted: Collection[bytes]
) -> Generator[Step, None, dict[bytes, list[Span]]]:
    """All spans of each by start, each once; traces of which nothing is there are left out."""
    wanted = dict.fromkeys(wanted)
    yield from recall(store, wanted)
    found: dict[bytes, dict[bytes, Span]] = {}
    since = 0
    for stored in at_hand(store) if wanted else ():
        if stored.signal != "traces":
            continue
        # One pass over the batch for all of them, but where few are wanted the bytes tell sooner.
        if len(wanted) > 8 or any(trace_id in stored.data for trace_id in wanted):
            for part in stored.parts():
                for span in _decoded(part, wanted):
                    found.setdefault(span.trace_id, {}).setdefault(span.span_id, span)
                    since += 1
                    if since >= DECODED:
                        since = 0
                        yield
    return {
        trace_id: sorted(found[trace_id].values(), key=lambda span: (span.start, span.end))
        for trace_id in wanted
        if trace_id in found
    }


def runs(store: Store) -> Iterator[tuple[Mapping[str, Value], bytes, Sequence[Row]]]:
    """All spans as rows: their resource, their buffer, and STEP of them at most."""
    for stored in at_hand(store):
        if stored.signal == "traces":
            for resource, _, buf, begin, end in stored.parts():
                rows = spanscan.rows(buf, begin, end)
                for at in range(0, len(rows), STEP):
                    yield resource, buf, rows[at : at + STEP]


def _decoded(part: Part, wanted: Container[bytes]) -> Iterator[Span]:
    """One after the other, so that whoever asks may stop between them."""
    resource, scope, buf, begin, end = part
    picked = spanscan.select(buf, begin, end, 1, wanted)
    for number, wire, tag, _, stop in fields(picked, 0, len(picked)):
        if number == 2 and wire == 2:
            yield from spans_in([(resource, scope, picked, tag, stop)])
