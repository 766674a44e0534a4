"""Files that end in half a message: what is written afterwards can be read, and so can the rest."""

from __future__ import annotations

import gzip
import os
import random
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.collector.batch import Batch
from proxy.collector.exporters.file.tail import LAYOUTS, whole
from proxy.otlp.json import request_from_json
from tests.collector.kit import batch
from tests.collector.test_export_file import export

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LAYOUT = pytest.mark.parametrize("layout", LAYOUTS)
SETTINGS = {
    "json": "",
    "proto": 'format = "proto"',
    "gzip": 'compression = "gzip"',
    "zstd": 'compression = "zstd"',
}
UNPACK: dict[str, Any] = {"gzip": gzip.decompress, "zstd": zstd.decompress}


def read(path: Path, layout: str) -> list[bytes]:
    """What a reader gets out of the file who passes over lines that are none."""
    content = path.read_bytes()
    if layout == "proto":
        return list(messages(content))
    found = []
    for line in UNPACK.get(layout, bytes)(content).splitlines():
        try:
            found.append(request_from_json("traces", line))
        except Exception:  # noqa: BLE001
            continue
    return found


def messages(content: bytes) -> Any:
    while content:
        size = int.from_bytes(content[:4], "big")
        assert len(content) >= 4 + size
        yield content[4 : 4 + size]
        content = content[4 + size :]


async def write(path: Path, layout: str, *batches: Batch, more: str = "") -> None:
    await export(f'path = "{path.parent}/{{signal}}.x"\n{SETTINGS[layout]}\n{more}', *batches)


@LAYOUT
@pytest.mark.parametrize("lost", [1, 2, 10, 40])
async def test_what_comes_after_a_crash_can_be_read(tmp_path: Path, layout: str, lost: int) -> None:
    path, sent = tmp_path / "traces.x", [batch(items=n) for n in range(1, 5)]
    await write(path, layout, *sent[:3])
    os.truncate(path, path.stat().st_size - lost)
    await write(path, layout, sent[3])
    expected = [b.payload for b in (*sent[:2], sent[3])]
    if layout == "json" and lost == 1:
        expected.insert(2, sent[2].payload)  # only its end was missing
    assert read(path, layout) == expected
    assert len(list(tmp_path.iterdir())) == 1


@LAYOUT
async def test_a_file_that_never_had_a_whole_message_is_no_obstacle(
    tmp_path: Path, layout: str
) -> None:
    path = tmp_path / "traces.x"
    await write(path, layout, batch(items=3))
    os.truncate(path, path.stat().st_size // 2)
    half = path.read_bytes()
    await write(path, layout, batch(items=2))
    assert read(path, layout) == [batch(items=2).payload]
    left = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert half in left


@LAYOUT
async def test_what_a_lost_machine_leaves_may_be_zeros(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "traces.x"
    await write(path, layout, batch(items=3))
    with path.open("ab") as file:
        file.write(bytes(5000))
    await write(path, layout, batch(items=2))
    assert read(path, layout) == [batch(items=3).payload, batch(items=2).payload]


@LAYOUT
async def test_a_rotated_file_begins_and_ends_with_whole_messages(
    tmp_path: Path, layout: str
) -> None:
    path = tmp_path / "traces.x"
    await write(path, layout, batch(items=1), batch(items=3))
    os.truncate(path, path.stat().st_size - 5)
    more = 'rotation = { max_size = "300B" }'
    await write(path, layout, *[batch(items=2) for _ in range(4)], more=more)
    found = [m for p in tmp_path.iterdir() for m in read(p, layout) if p.stat().st_size]
    assert found.count(batch(items=2).payload) == 4


@LAYOUT
async def test_what_is_whole_stays_as_it_is(tmp_path: Path, layout: str) -> None:
    path, sent = tmp_path / "traces.x", [batch(items=n) for n in (1, 700, 3)]
    for each in sent:
        await write(path, layout, each)
    assert read(path, layout) == [b.payload for b in sent]


async def test_members_of_other_programs_count_too(tmp_path: Path) -> None:
    path = tmp_path / "traces.x"
    path.write_bytes(gzip.compress(b"{}\n", mtime=1_700_000_000))
    await write(path, "gzip", batch(items=2))
    assert gzip.decompress(path.read_bytes()).startswith(b"{}\n")
    assert len(read(path, "gzip")) == 2


async def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "traces.x"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        await write(path, "json", batch(items=1))
        assert request_from_json("traces", os.read(reader, 65536).strip()) == batch(items=1).payload
    finally:
        os.close(reader)


def packed(layout: str, payloads: list[bytes]) -> list[bytes]:
    pack: dict[str, Any] = {
        "json": lambda p: p.hex().encode() + b"\n",
        "proto": lambda p: len(p).to_bytes(4, "big") + p,
        "gzip": lambda p: gzip.compress(p, 1, mtime=0),
        "zstd": lambda p: zstd.compress(p, 3),
    }
    return [pack[layout](payload) for payload in payloads]


@LAYOUT
@given(
    st.lists(st.binary(min_size=1, max_size=200), max_size=6),
    st.integers(0, 10_000),
)
def test_the_end_is_that_of_the_last_whole_message(
    layout: str, payloads: list[bytes], cut: int
) -> None:
    parts = packed(layout, payloads)
    content = b"".join(parts)
    content = content[: cut % (len(content) + 1)]
    ends = [sum(map(len, parts[:n])) for n in range(len(parts) + 1)]
    assert whole(BytesIO(content), len(content), layout) == max(
        e for e in ends if e <= len(content)
    )


@pytest.mark.parametrize("layout", ["gzip", "zstd"])
def test_large_members_too(layout: str) -> None:
    chance = random.Random(7)
    noise = [chance.randbytes(3_000_000), bytes(5_000_000), b"x" * 10]
    parts = packed(layout, noise)
    content = b"".join(parts)
    ends = [0, len(parts[0]), len(parts[0] + parts[1]), len(content)]
    for end, part in zip(ends, [*parts, b""], strict=True):
        for more in {0, len(part) // 2, max(0, len(part) - 1)}:
            assert whole(BytesIO(content[: end + more]), end + more, layout) == end
