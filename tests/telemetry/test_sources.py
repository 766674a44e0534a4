from __future__ import annotations

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from proxy.telemetry import sources
from proxy.telemetry.sources import Sources

from .exchanges import attributes, exchange


def test_what_was_seen_before_is_encoded_the_same() -> None:
    known = Sources(9)

    first, again = known.asked(exchange()), known.asked(exchange())

    assert first == again == Sources(9).asked(exchange())


def test_nothing_is_said_about_what_is_not_known() -> None:
    unknown = exchange(host="", host_port=0, user_agent=b"", client="", peer="", peer_port=0)

    assert Sources(9).asked(unknown) == Sources(9).sent_by(unknown) == b""


def test_a_port_that_cannot_be_is_left_out() -> None:
    decoded = Span.FromString(Sources(9).asked(exchange(host_port=70_000)))

    assert attributes(decoded) == {
        "server.address": "shop.example",
        "user_agent.original": "curl/8.5",
    }


def test_ever_new_clients_do_not_fill_the_memory() -> None:
    known = Sources(9)
    for port in range(sources.LIMIT * 2):
        known.peer(("10.0.0.1", port % 65535 + 1))
        known.sent_by(exchange(peer_port=port))

    assert len(known._peers) <= sources.LIMIT
    assert len(known._sent_by) <= sources.LIMIT
