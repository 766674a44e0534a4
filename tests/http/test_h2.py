"""The engine of HTTP/2: two sessions in memory, and frames by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.http import h2
from proxy.http.h2 import Rules, Session
from tests.http.h2_frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GET,
    GOAWAY,
    HEADERS,
    OK,
    PING,
    POST,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Pair,
    feed,
    frame,
    frames,
    literal,
)

SECOND = 1_000_000_000


def only(events: list[h2.Event], *kinds: type) -> list[h2.Event]:
    return [event for event in events if isinstance(event, kinds)]


def test_a_request_and_its_answer() -> None:
    pair = Pair()
    stream = pair.ask(POST, end=False)
    assert pair.client.send_data(stream, b"ping", True)
    pair.run()
    assert pair.server.send_informational(stream, [(b":status", b"103")])
    assert pair.server.send_response(stream, OK, False)
    assert pair.server.send_data(stream, b"pong", False)
    assert pair.server.send_trailers(stream, [(b"grpc-status", b"0")])
    pair.run()
    kinds = [type(event).__name__ for event in pair.at_server]
    assert kinds == ["RequestReceived", "DataReceived", "StreamClosed"]
    kinds = [type(event).__name__ for event in pair.at_client]
    assert kinds == [
        "InformationalResponseReceived",
        "ResponseReceived",
        "DataReceived",
        "TrailersReceived",
        "StreamClosed",
    ]


def test_a_body_moves_as_it_is_acknowledged() -> None:
    pair = Pair(Rules(stream_window=10_000))
    stream = pair.ask(POST, end=False)
    pair.client.send_data(stream, b"x" * 25_000, True)
    pair.run()
    assert pair.server.owed(stream) == 10_000
    assert pair.client.queued(stream) == 15_000
    pair.server.acknowledge(10_000, stream)
    pair.run()
    assert pair.client.queued(stream) == 5_000
    pair.server.acknowledge(99_999, stream)  # never more than is owed
    pair.run()
    assert pair.client.queued(stream) == 0
    assert sum(len(e.data) for e in only(pair.at_server, h2.DataReceived)) == 25_000


def test_what_a_reset_stream_owed_does_not_keep_the_window() -> None:
    rules = Rules(stream_window=65_535, connection_window=65_535)
    pair = Pair(rules)
    for _ in range(8):
        stream = pair.ask(POST, end=False)
        pair.client.send_data(stream, b"x" * 60_000, False)
        pair.run()
        assert pair.server.owed(stream) == 60_000
        pair.client.reset(stream, h2.CANCEL)
        pair.run()
        assert pair.server.owed(stream) == 0
        pair.server.acknowledge(60_000, stream)  # too late, and no harm


def test_an_early_answer_ends_an_upload() -> None:
    pair = Pair()
    stream = pair.ask(POST, end=False)
    pair.server.send_response(stream, OK, True)
    pair.run()  # what was not taken would be thrown away
    pair.server.reset(stream, h2.NO_ERROR)
    pair.run()
    kinds = [type(event).__name__ for event in pair.at_client]
    assert kinds[0] == "ResponseReceived" and "StreamClosed" in kinds
    assert not pair.client.send_data(stream, b"more", False)


def test_goaway_in_two_steps() -> None:
    pair = Pair()
    first = pair.ask(GET)
    pair.server.announce_goaway()
    pair.run()
    (told,) = only(pair.at_client, h2.GoAwayReceived)
    assert told.last_stream_id == 0x7FFFFFFF
    assert pair.client.send_request(GET, True) == 0
    pair.server.goaway()
    pair.server.send_response(first, OK, True)
    pair.run()
    assert [type(event).__name__ for event in pair.at_client[1:]].count("ResponseReceived") == 1
    assert only(pair.at_client, h2.GoAwayReceived)[1].last_stream_id == first


def test_what_the_peer_grants_is_known() -> None:
    pair = Pair(Rules(streams=7, connect_protocol=True))
    assert pair.client.peer_streams == 7
    assert pair.client.peer_connects
    assert not Pair().client.peer_connects
    assert Session(False, Rules()).peer_streams == 100


def server() -> Session:
    """One that has seen its client's preface and settings."""
    session = Session(True, Rules())
    feed(session, h2.PREFACE + frame(SETTINGS, 0, 0))
    drain(session)
    return session


def drain(session: Session) -> bytes:
    found = b""
    while data := session.take():
        found += data
    return found


def goaway(data: bytes) -> int:
    """The code of the GOAWAY that is the last frame."""
    kind, _, _, payload = frames(data)[-1]
    assert kind == GOAWAY
    return int.from_bytes(payload[4:8])


BLOCK = literal(GET)
FLOODS = {
    "ping": lambda n: frame(PING, 0, 0, b"12345678"),
    "ping answers": lambda n: frame(PING, 1, 0, b"12345678"),
    "settings": lambda n: frame(SETTINGS, 0, 0),
    "window updates": lambda n: frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1"),
    "priorities": lambda n: frame(PRIORITY, 0, 2 * n + 1, b"\0\0\0\0\x10"),
    "unknown": lambda n: frame(0x40, 0, 0),
    "empty data": lambda n: frame(HEADERS, END_HEADERS, 1, BLOCK) if n == 0 else frame(DATA, 0, 1),
    "rapid resets": lambda n: (
        frame(RST_STREAM, 0, n, b"\0\0\0\x08")
        if n % 2
        else frame(HEADERS, END_HEADERS | END_STREAM, n + 1, BLOCK)
    ),
    "resets that are asked for": lambda n: frame(
        HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, literal([*GET, (b"connection", b"a")])
    ),
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_ends_within_a_thousand_frames(flood) -> None:  # type: ignore[no-untyped-def]
    session = server()
    sent, out = 0, b""
    while not session.closed and sent < 20_000:
        feed(session, flood(sent))
        out += drain(session)
        sent += 1
    assert sent <= 1002
    assert goaway(out) == h2.ENHANCE_YOUR_CALM
    assert not feed(session, flood(sent)), "nothing more is told"
    assert session.take() == b""


def test_continuation_without_end() -> None:
    session = server()
    feed(session, frame(HEADERS, 0, 1, BLOCK))
    out, sent = b"", 0
    while not session.closed and sent < 1000:
        feed(session, frame(CONTINUATION, 0, 1, b""))
        out += drain(session)
        sent += 1
    assert sent < 64
    assert goaway(out) in (h2.ENHANCE_YOUR_CALM, h2.PROTOCOL_ERROR, h2.INTERNAL_ERROR)


def test_a_bomb_of_a_head_is_dropped() -> None:
    session = server()
    # one entry of 4 kB in the dynamic table, and 250 references to it
    block = literal(GET) + b"\x40" + literal([(b"a", b"x" * 3900)])[1:] + b"\xbe" * 250
    events = feed(session, frame(HEADERS, END_HEADERS | END_STREAM, 1, block))
    assert [type(event).__name__ for event in events] == ["ConnectionClosed"]
    assert goaway(drain(session)) == h2.ENHANCE_YOUR_CALM


def test_honest_work_earns_control_frames() -> None:
    session = server()
    feed(session, frame(HEADERS, END_HEADERS | END_STREAM, 1, BLOCK))
    session.send_response(1, OK, False)
    for _ in range(3000):
        session.send_data(1, b"a", False)
        drain(session)
        feed(session, frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") + frame(PING, 0, 0, bytes(8)))
    assert not session.closed


def test_tokens_come_back_with_time() -> None:
    session = server()
    for second in range(1, 60):
        for _ in range(100):
            feed(session, frame(PING, 0, 0, bytes(8)), second * SECOND)
            drain(session)
    assert not session.closed


def test_much_in_one_piece_is_fed_in_slices() -> None:
    session = server()
    data = frame(PING, 0, 0, bytes(8)) * 600
    seen = [len(session.receive(data, 1))]
    while session.waiting:
        seen.append(len(session.receive(b"", 1)))
    assert sum(seen) == 600
    assert max(seen) <= 256


def test_no_preface_no_session() -> None:
    session = Session(True, Rules())
    events = feed(session, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [type(event).__name__ for event in events] == ["ConnectionClosed"]
    assert goaway(drain(session)) == h2.PROTOCOL_ERROR


def test_after_the_end_nothing_raises() -> None:
    session = server()
    feed(session, frame(HEADERS, END_HEADERS, 1, BLOCK))
    session.terminate(h2.ENHANCE_YOUR_CALM)
    assert goaway(drain(session)) == h2.ENHANCE_YOUR_CALM
    assert only(session.events(), h2.ConnectionClosed)
    assert session.closed
    assert feed(session, frame(PING, 0, 0, bytes(8))) == []
    assert not session.send_response(1, OK, True)
    assert not session.send_informational(1, OK)
    assert not session.send_data(1, b"x", True)
    assert not session.send_trailers(1, [])
    assert not session.end(1)
    assert not session.reset(1, 0)
    session.acknowledge(1, 1)
    session.announce_goaway()
    session.goaway()
    session.terminate(1)
    session.ping(bytes(8))
    assert session.queued() == session.queued(1) == session.owed(1) == 0
    assert session.send_request(GET, True) == 0
    assert session.take() == b""


def test_streams_that_are_gone_are_refused_quietly() -> None:
    session = server()
    for stream in (0, 1, 2, 99, 2**31):
        assert not session.send_response(stream, OK, True)
        assert not session.send_data(stream, b"x", False)
        assert not session.reset(stream, h2.CANCEL)
        assert not session.end(stream)
        session.acknowledge(5, stream)
    assert not session.closed


CONVERSATION = (
    h2.PREFACE
    + frame(SETTINGS, 0, 0)
    + frame(HEADERS, END_HEADERS, 1, literal(POST))
    + frame(DATA, 0, 1, b"abc")
    + frame(HEADERS, END_HEADERS | END_STREAM, 3, BLOCK)
    + frame(PING, 0, 0, b"12345678")
    + frame(DATA, END_STREAM, 1, b"d" * 300)
    + frame(RST_STREAM, 0, 3, b"\0\0\0\x08")
    + frame(GOAWAY, 0, 0, bytes(8))
)


@given(st.lists(st.integers(0, len(CONVERSATION)), max_size=40))
@settings(max_examples=150, deadline=None)
def test_any_split_of_the_bytes_means_the_same(cuts: list[int]) -> None:
    whole = Session(True, Rules())
    expected = [repr(event) for event in feed(whole, CONVERSATION)]
    split = Session(True, Rules())
    found: list[str] = []
    places = [0, *sorted(cuts), len(CONVERSATION)]
    for begin, end in pairwise(places):
        found += [repr(event) for event in feed(split, CONVERSATION[begin:end])]
    assert found == expected
    assert drain(split) == drain(whole)


@given(st.binary(max_size=400), st.integers(0, len(CONVERSATION)))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_survived(junk: bytes, cut: int) -> None:
    session = Session(True, Rules())
    feed(session, CONVERSATION[:cut] + junk)
    drain(session)
    feed(session, junk)
    drain(session)
    session.send_response(1, OK, True)
    session.events()
