"""Frames are counted however they are cut, and payload is never kept."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.websocket import NO_CODE, Frames

TEXT, BINARY, MORE, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


@dataclass(frozen=True)
class Frame:
    opcode: int
    payload: bytes
    fin: bool = True
    mask: bytes = b""
    wide: int = 0  # bytes of its length, more than are needed; 0 = as few as there can be

    def encode(self) -> bytes:
        size = len(self.payload)
        wide = self.wide or (0 if size < 126 else 2 if size < 1 << 16 else 8)
        short = {0: size, 2: 126, 8: 127}[wide]
        head = bytes([(0x80 if self.fin else 0) | self.opcode, (0x80 if self.mask else 0) | short])
        length = size.to_bytes(wide, "big") if wide else b""
        return head + length + self.mask + masked(self.payload, self.mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    return bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if mask else payload


masks = st.sampled_from([b"", bytes(4), b"\x81\x88\xff\x01"]) | st.binary(min_size=4, max_size=4)
payloads = st.binary(max_size=300) | st.integers(0, 70_000).map(bytes)
data_frames = st.builds(
    Frame,
    st.sampled_from([TEXT, BINARY, MORE]),
    payloads,
    st.booleans(),
    masks,
    st.sampled_from([0, 8]),
)
control_frames = st.builds(
    Frame, st.sampled_from([PING, PONG]), st.binary(max_size=125), st.just(True), masks
)
close_codes = st.none() | st.integers(1, 0xFFFF)


def pieces(wire: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    return [wire[a:b] for a, b in pairwise(places)]


@given(
    st.lists(data_frames | control_frames, max_size=8),
    close_codes,
    masks,
    st.lists(st.integers(0, 1000) | st.integers(0, 300_000), max_size=12),
)
def test_messages_and_the_code_however_they_are_cut(
    frames: list[Frame], code: int | None, mask: bytes, cuts: list[int]
) -> None:
    wire = b"".join(frame.encode() for frame in frames)
    reason = b"" if code is None else code.to_bytes(2, "big") + b"bye"
    found = Frames()
    for piece in pieces(wire + Frame(CLOSE, reason, mask=mask).encode(), cuts):
        found.feed(piece)
        assert len(found._head) < 14
    assert found.messages == len([f for f in frames if f.fin and f.opcode in (0, 1, 2)])
    assert found.close_code == (code or NO_CODE)
    assert not found.lost


@given(st.lists(data_frames | control_frames, max_size=4))
def test_byte_by_byte(frames: list[Frame]) -> None:
    found = Frames()
    for byte in b"".join(frame.encode()[:400] for frame in frames[:1]):
        found.feed(bytes([byte]))
    whole = Frames()
    whole.feed(b"".join(frame.encode()[:400] for frame in frames[:1]))
    assert (found.messages, found.close_code) == (whole.messages, whole.close_code)


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=5))
def test_any_bytes_give_the_same_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    whole, cut = Frames(), Frames()
    whole.feed(data)
    for piece in pieces(data, cuts):
        cut.feed(piece)
    assert (whole.messages, whole.close_code, whole.lost) == (
        cut.messages,
        cut.close_code,
        cut.lost,
    )


def test_a_frame_of_64_mib_is_skipped_and_not_kept() -> None:
    found = Frames()
    size = 64 * 1024 * 1024
    found.feed(bytes([0x82, 0xFF]) + size.to_bytes(8, "big") + b"mask")
    piece = bytes(1024 * 1024)
    for _ in range(64):
        found.feed(piece)
        assert sys.getsizeof(found._head) < 100
    found.feed(Frame(TEXT, b"x").encode())
    assert found.messages == 2


@pytest.mark.parametrize(
    "wire",
    [
        bytes([0x82, 0x7F]) + b"\xff" * 8,  # a length beyond 63 bits
        bytes([0x09, 0x00]),  # a ping in fragments
        bytes([0x89, 0x7E, 0x00, 0x80]),  # a ping of 128 bytes
    ],
)
def test_what_breaks_the_rules_ends_the_counting(wire: bytes) -> None:
    found = Frames()
    found.feed(Frame(TEXT, b"x").encode() + wire + Frame(TEXT, b"x").encode())
    found.feed(Frame(TEXT, b"x").encode())
    assert (found.messages, found.lost, found._head) == (1, True, b"")


def test_what_follows_a_close_frame_is_nothing() -> None:
    found = Frames()
    found.feed(Frame(CLOSE, b"\x03\xe8").encode() + Frame(TEXT, b"x").encode())
    found.feed(Frame(CLOSE, b"\x03\xe9").encode())
    assert (found.messages, found.close_code) == (0, 1000)
