"""Names: which services and spans there are, for the lists that people choose from."""

from __future__ import annotations

from collections.abc import Generator

from proxy.kernel import spanscan
from proxy.recent.model import CLIENT, CONSUMER, PRODUCER, text
from proxy.recent.ring import Store
from proxy.recent.search import STEP
from proxy.recent.show import cut
from proxy.recent.traces import runs
from proxy.recent.view import Step

MOST = 10_000  # different ones; what comes after them is left out

Operations = dict[str, set[tuple[str, int]]]  # by service: names and kinds of spans

_PEER = {b"peer.service": 0}
_ATTRIBUTES = 9


def operations(store: Store) -> Generator[Step, None, Operations]:
    """Of all services that have recorded spans."""
    found: Operations = {}
    seen: set[tuple[str, bytes, int]] = set()
    since = 0
    for resource, _, rows in runs(store):
        service = text(resource.get("service.name", ""))
        for row in rows:
            key = (service, row[3], row[4])
            if key not in seen and len(seen) < MOST:
                seen.add(key)
                name = cut(row[3].decode("utf-8", "replace"))
                found.setdefault(cut(service), set()).add((name, row[4]))
        since += len(rows)
        if since >= STEP:
            since = 0
            yield
    found.pop("", None)
    return found


def peers(store: Store, service: str) -> Generator[Step, None, list[str]]:
    """Whom that service says that it has called (`peer.service`)."""
    found: set[bytes] = set()
    since = 0
    for resource, buf, rows in runs(store):
        if text(resource.get("service.name", "")) == service:
            for row in rows:
                if row[4] in (CLIENT, PRODUCER, CONSUMER) and len(found) < MOST:
                    (peer,) = spanscan.pick(buf, row[8], row[9], _ATTRIBUTES, _PEER)
                    if isinstance(peer, bytes) and peer:
                        found.add(peer)
        since += len(rows)
        if since >= STEP:
            since = 0
            yield
    return sorted(cut(peer.decode("utf-8", "replace")) for peer in found)
