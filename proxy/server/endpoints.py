"""What an ENDPOINTS frame carries: changes of single endpoints, apart from configurations.

Health that probes found, weights, and endpoints that came or went, by upstream and URL. Changes
for what is not known are passed over: the configuration that knew it may be gone already.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Protocol

import msgspec

from proxy.upstream.endpoint import Endpoint
from proxy.upstream.state import UpstreamState

log = logging.getLogger("spangate")

AT_ONCE = 200  # changes in a frame: under 1 ms to apply


class Change(msgspec.Struct, omit_defaults=True):
    """One endpoint; None = as it was."""

    up: bool | None = None  # what active probes say
    weight: int | None = None
    number: int | None = None  # its place on the board
    ejected: bool | None = None
    drained: bool | None = None
    added: bool = False
    removed: bool = False


# upstream's name -> server's URL -> change; under "" the number of the upstream itself
Changes = dict[str, dict[str, Change]]

_decoder = msgspec.msgpack.Decoder(Changes)


def encode(changes: Mapping[str, Mapping[str, Change]]) -> bytes:
    return msgspec.msgpack.encode(changes)


def encode_health(states: Iterable[tuple[tuple[str, str], bool]]) -> Iterator[bytes]:
    """Payloads that tell who is up, by (upstream, URL)."""
    return payloads((key, Change(up=up)) for key, up in states)


def payloads(news: Iterable[tuple[tuple[str, str], Change]]) -> Iterator[bytes]:
    """What frames carry that tell these, by (upstream, URL)."""
    rest = iter(news)
    while some := list(islice(rest, AT_ONCE)):
        changes: Changes = {}
        for (upstream, url), change in some:
            changes.setdefault(upstream, {})[url] = change
        yield encode(changes)


class Known(Protocol):
    """Upstreams by name."""

    def get(self, name: str) -> UpstreamState | None: ...


def apply(upstreams: Known, payload: bytes) -> list[Endpoint]:
    """Do what a frame says; the endpoints that are gone. ValueError if it is no such frame."""
    gone: list[Endpoint] = []
    for name, changes in _decoder.decode(payload).items():
        state = upstreams.get(name)
        if state is None:
            continue
        for url, change in changes.items():
            if not url:
                if change.number is not None:
                    state.number(change.number)
                continue
            if change.removed:
                endpoint = state.remove(url)
                if endpoint is not None:
                    gone.append(endpoint)
                continue
            if change.added:
                try:
                    state.add(url, change.weight or 1)
                except ValueError as error:
                    log.error("upstream %s: %s", name, error, extra={"key": "endpoints.refused"})
            _note(state, url, change)
    return gone


def _note(state: UpstreamState, url: str, change: Change) -> None:
    endpoint = state.endpoints.get(url)
    if endpoint is not None and change.number is not None:
        endpoint.number = change.number
    state.update(url, change.up, change.weight, ejected=change.ejected, drained=change.drained)
