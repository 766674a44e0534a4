from __future__ import annotations

from types import ModuleType

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from proxy.kernel import pen, sources
from tests.kernel.twins import plain
from tests.telemetry.exchanges import SERVER, TRACE, Plain, attributes

PLAIN_PEN, PLAIN_SOURCES = plain("proxy.kernel.pen"), plain("proxy.kernel.sources")
BOTH = pytest.mark.parametrize(
    ("pens", "made"), [(pen, sources), (PLAIN_PEN, PLAIN_SOURCES)], ids=["compiled", "plain"]
)


class Written:
    """One span in which only the sources are said."""

    def __init__(self, pens: ModuleType, made: ModuleType) -> None:
        self.pen = pens.Pen()
        self.sources = made.Sources(self.pen, 9)
        self.pen.span(TRACE, SERVER, b"", 1, 2, 1)

    def read(self) -> dict[str, Plain]:
        self.pen.end()
        (span,) = ScopeSpans.FromString(self.pen.take()).spans
        return attributes(span)


@BOTH
def test_what_was_seen_before_is_said_the_same(pens: ModuleType, made: ModuleType) -> None:
    written = Written(pens, made)
    for _ in range(2):
        written.pen.clear()
        written.pen.span(TRACE, SERVER, b"", 1, 2, 1)
        written.sources.asked("shop.example", 8080, b"curl/8.5")
        written.sources.sent_by("192.0.2.7", "10.0.0.9", 43210)
        assert written.read() == {
            "server.address": "shop.example",
            "server.port": 8080,
            "user_agent.original": "curl/8.5",
            "client.address": "192.0.2.7",
            "network.peer.address": "10.0.0.9",
            "network.peer.port": 43210,
        }


@BOTH
def test_nothing_is_said_about_what_is_not_known(pens: ModuleType, made: ModuleType) -> None:
    written = Written(pens, made)
    written.sources.asked("", 0, b"")
    written.sources.sent_by("", "", 0)
    written.sources.peer(("", 0))

    assert written.read() == {}


@BOTH
def test_a_port_that_cannot_be_is_left_out(pens: ModuleType, made: ModuleType) -> None:
    written = Written(pens, made)
    written.sources.asked("shop.example", 70_000, b"")

    assert written.read() == {"server.address": "shop.example"}


def test_ever_new_clients_do_not_fill_the_memory() -> None:
    known = PLAIN_SOURCES.Sources(PLAIN_PEN.Pen(), 9)
    for port in range(PLAIN_SOURCES.LIMIT * 2):
        known.peer(("10.0.0.1", port % 65535 + 1))
        known.sent_by("192.0.2.7", "10.0.0.9", port)

    assert len(known._peers) <= PLAIN_SOURCES.LIMIT
    assert len(known._sent_by) <= PLAIN_SOURCES.LIMIT
