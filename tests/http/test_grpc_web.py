"""gRPC-Web: content types, base64 in pieces, and the frame that holds trailers."""

from __future__ import annotations

from base64 import b64decode, b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import BadRequest
from proxy.http import grpc_web
from proxy.http.head import made_response


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        (b"application/grpc-web", "binary"),
        (b"application/grpc-web+proto", "binary"),
        (b"Application/gRPC-Web+json", "binary"),
        (b"application/grpc-web; charset=x", "binary"),
        (b"application/grpc-web-text", "text"),
        (b"application/grpc-web-text+proto", "text"),
        (b"application/grpc-web-textual", ""),
        (b"application/grpc-webby", ""),
        (b"application/grpc", ""),
        (b"text/html", ""),
        (None, ""),
    ],
)
def test_kinds(content_type: bytes | None, kind: str) -> None:
    assert grpc_web.kind_of(content_type) == kind


@pytest.mark.parametrize(
    ("came", "goes"),
    [
        (b"application/grpc-web", b"application/grpc"),
        (b"application/grpc-web+proto", b"application/grpc+proto"),
        (b"application/grpc-web-text+proto; x=y", b"application/grpc+proto"),
        (b"application/grpc-web-text", b"application/grpc"),
    ],
)
def test_towards_the_server(came: bytes, goes: bytes) -> None:
    assert grpc_web.to_grpc(came) == goes


def test_towards_the_browser() -> None:
    assert grpc_web.to_web(b"application/grpc+proto", "text") == b"application/grpc-web-text+proto"
    assert grpc_web.to_web(b"application/grpc", "binary") == b"application/grpc-web"


def test_heads() -> None:
    fields = [(b"Content-Type", b"application/grpc+proto"), (b"x-a", b"b")]
    head = grpc_web.answer_head(made_response(200, fields, 7), "binary")
    assert head is not None and head.length is None
    assert head.pairs == [(b"x-a", b"b"), (b"content-type", b"application/grpc-web+proto")]
    ended = grpc_web.answer_head(made_response(200, fields, 0), "binary")
    assert ended is not None and ended.length == 0
    assert (
        grpc_web.answer_head(made_response(503, [(b"content-type", b"text/html")], 7), "text")
        is None
    )


def test_trailers() -> None:
    frame = grpc_web.trailer_frame(((b"grpc-status", b"0"), (b"X-Some", b"thing")))
    lines = b"grpc-status: 0\r\nx-some: thing\r\n"
    assert frame == b"\x80" + len(lines).to_bytes(4, "big") + lines


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces, cut at these places of it."""
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


@given(st.lists(st.binary(max_size=40), max_size=6), st.lists(st.integers(0, 400), max_size=8))
def test_base64_in_pieces(pieces: list[bytes], places: list[int]) -> None:
    """Encoded piece by piece, each padded on its own, and cut anywhere on its way."""
    sent = b"".join(map(b64encode, pieces))
    decoder = grpc_web.Decoder()
    got = b"".join(decoder.decode(part) for part in cut(sent, places))
    decoder.end()
    assert got == b"".join(pieces)


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5))
def test_any_bytes_decode_or_are_refused(data: bytes, places: list[int]) -> None:
    """And how they were cut does not matter."""
    assert outcome(cut(data, places)) == outcome([data])


@given(st.text("AQgw=/+x", max_size=24).map(str.encode), st.lists(st.integers(0, 24), max_size=5))
def test_nearly_base64(data: bytes, places: list[int]) -> None:
    assert outcome(cut(data, places)) == outcome([data])


def outcome(pieces: list[bytes]) -> bytes | None:
    decoder = grpc_web.Decoder()
    got = b""
    try:
        for piece in pieces:
            got += decoder.decode(piece)
        decoder.end()
    except BadRequest:
        return None
    return got


@pytest.mark.parametrize(
    "data", [b"AAA", b"A===", b"AA=A", b"AA==AA=A", b"====", b"AAAA====", b"A A=", b"AAA\n"]
)
def test_what_is_no_base64(data: bytes) -> None:
    assert outcome([data]) is None


@given(st.binary())
def test_each_piece_of_an_answer_is_padded(piece: bytes) -> None:
    assert b64decode(grpc_web.encode(piece, "text"), validate=True) == piece
    assert grpc_web.encode(piece, "binary") == piece
