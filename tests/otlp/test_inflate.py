from __future__ import annotations

import gzip
import itertools
import sys
import time
import zlib
from collections.abc import Callable

import cramjam
import lz4.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.otlp import unsnap
from proxy.otlp.inflate import ENCODINGS, MEMBERS, PIECE, Inflater, TooLarge, is_known
from proxy.otlp.wire import WireError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CAP = 8 * PIECE


def raw_deflate(data: bytes) -> bytes:
    codec = zlib.compressobj(wbits=-15)
    return codec.compress(data) + codec.flush()


def checked_lz4(data: bytes) -> bytes:
    made: bytes = lz4.frame.compress(
        data, block_linked=False, content_checksum=True, block_checksum=True, store_size=False
    )
    return made


def frames(data: bytes) -> bytes:
    # The library begins with the identifier only if there is something to say.
    return bytes(cramjam.snappy.compress(data)) or unsnap.MAGIC


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "identity": ("identity", bytes),
    "none": ("", bytes),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "raw deflate": ("deflate", raw_deflate),
    "zstd": ("zstd", zstd.compress),
    "zlib": ("zlib", zlib.compress),
    "lz4": ("lz4", lz4.frame.compress),
    "lz4 with checksums": ("lz4", checked_lz4),
    "snappy": ("snappy", lambda data: bytes(cramjam.snappy.compress_raw(data))),
    "snappy in frames": ("snappy", frames),
    "x-snappy-framed": ("x-snappy-framed", frames),
}
STREAMS = ["gzip", "deflate", "zstd", "zlib", "lz4", "snappy in frames", "x-snappy-framed"]


def inflate(encoding: str, *chunks: bytes, cap: int = CAP) -> bytes:
    inflater = Inflater(encoding, cap)
    for chunk in chunks:
        for _ in inflater.feed(chunk):
            pass
    return inflater.finish()


@pytest.mark.parametrize("packer", PACKERS)
@given(data=st.binary(max_size=2000), cuts=st.lists(st.integers(0, 2000), max_size=5))
def test_any_cut_gives_the_same(packer: str, data: bytes, cuts: list[int]) -> None:
    encoding, pack = PACKERS[packer]
    packed = pack(data)
    edges = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
    chunks = [packed[a:b] for a, b in itertools.pairwise(edges)]
    assert inflate(encoding, *chunks) == data


@pytest.mark.parametrize("packer", PACKERS)
def test_byte_by_byte(packer: str) -> None:
    encoding, pack = PACKERS[packer]
    data = bytes(range(256)) * 3
    assert inflate(encoding, *(bytes((b,)) for b in pack(data))) == data


@pytest.mark.parametrize("packer", STREAMS)
def test_more_than_a_piece_comes_in_pieces(packer: str) -> None:
    encoding, pack = PACKERS[packer]
    data = bytes(5 * PIECE + 17)
    inflater = Inflater(encoding, CAP)
    steps = sum(1 for _ in inflater.feed(pack(data)))
    assert steps >= 5
    assert inflater.finish() == data


@pytest.mark.parametrize("packer", ["raw deflate", *STREAMS])
def test_a_bomb_ends_at_the_cap(packer: str) -> None:
    encoding, pack = PACKERS[packer]
    bomb = pack(bytes(256 * PIECE))
    inflater = Inflater(encoding, CAP)
    begun = time.process_time()
    with pytest.raises(TooLarge):
        for _ in inflater.feed(bomb):
            assert inflater.size <= CAP
    assert inflater.size <= CAP + PIECE
    assert time.process_time() - begun < 5


def test_plain_bodies_have_the_cap_too() -> None:
    with pytest.raises(TooLarge):
        inflate("", bytes(CAP), b"x")


@pytest.mark.parametrize("packer", ["gzip", "zstd", "lz4", "snappy in frames"])
def test_several_members_are_one_body(packer: str) -> None:
    encoding, pack = PACKERS[packer]
    assert inflate(encoding, pack(b"a" * 3000) + pack(b"b"), pack(b"c")) == b"a" * 3000 + b"bc"


@pytest.mark.parametrize("packer", ["gzip", "zstd", "lz4"])
def test_a_chain_of_empty_members_is_refused_before_it_costs(packer: str) -> None:
    encoding, pack = PACKERS[packer]
    with pytest.raises(WireError, match="pieces in a row"):
        inflate(encoding, pack(b"") * (MEMBERS + 10))


@pytest.mark.parametrize("packer", ["raw deflate", "snappy", *STREAMS])
def test_cut_off_or_garbled_bodies_are_refused(packer: str) -> None:
    encoding, pack = PACKERS[packer]
    packed = pack(bytes(range(256)) * 20)
    for broken in (packed[:-5], packed[:12], b"", b"\xff" * 20 + packed[20:], b"plain"):
        with pytest.raises(WireError):
            inflate(encoding, broken)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_body_or_a_wire_error(data: bytes) -> None:
    for encoding in ENCODINGS:
        try:
            inflate(encoding, data)
        except WireError as error:
            assert str(error)


def test_a_window_beyond_the_rfc_is_refused() -> None:
    """RFC 9659: otherwise a few bytes would make us get 2 GiB ready."""
    options = {int(zstd.CompressionParameter.window_log): 27}
    compressor = zstd.ZstdCompressor(options=options)
    packed = compressor.compress(b"x" * 1000) + compressor.flush()
    with pytest.raises(WireError):
        inflate("zstd", packed)


def test_a_block_of_snappy_says_first_what_it_becomes() -> None:
    bomb = bytes(cramjam.snappy.compress_raw(bytes(CAP + 1)))
    with pytest.raises(TooLarge):
        inflate("snappy", bomb)
    with pytest.raises(WireError, match="cannot become"):
        inflate("snappy", b"\xff\xff\xff\x7f123")


FRAMES = {
    "no identifier": frames(b"x" * 90)[10:],
    "another identifier": b"\xff\x06\x00\x00sNaPpX" + frames(b"x" * 90)[10:],
    "a frame that must be known": unsnap.MAGIC + b"\x02\x01\x00\x00x",
    "a wrong checksum": unsnap.MAGIC + b"\x01\x05\x00\x00\0\0\0\0x",
    "too large": unsnap.MAGIC + b"\x01\x05\x00\x01" + bytes(65_541),
    "claims to be too large": unsnap.MAGIC + b"\x00\x0a\x00\x00\0\0\0\0\xff\xff\xff\x7f00",
    "cut off": frames(b"x" * 90)[:-1],
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames_of_snappy_that_are_none(name: str) -> None:
    with pytest.raises(WireError):
        inflate("x-snappy-framed", FRAMES[name])


def test_frames_of_snappy_may_be_padded() -> None:
    padding = b"\xfe\x03\x00\x00abc" + unsnap.MAGIC + b"\x80\x00\x00\x00"
    assert inflate("snappy", frames(b"a") + padding + frames(b"b")) == b"ab"


def test_crowds_of_empty_frames_are_looked_at_a_few_at_a_time() -> None:
    inflater = Inflater("x-snappy-framed", CAP)
    assert sum(1 for _ in inflater.feed(unsnap.MAGIC + b"\x80\x00\x00\x00" * 100_000)) > 40
    assert inflater.finish() == b""


def test_which_are_known() -> None:
    assert all(map(is_known, ["", "identity", *ENCODINGS]))
    assert not is_known("br")
    assert not is_known("gzip, gzip")
