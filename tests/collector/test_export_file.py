"""The file exporter, on real files."""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from proxy.collector.batch import Batch
from proxy.errors import ConfigError
from proxy.otlp.json import request_from_json
from tests.collector.kit import Place, batch, settings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


async def export(toml: str, *batches: Batch, signal: Any = "traces") -> Place:
    """What an exporter with these settings makes of the batches, each flushed by itself."""
    place = Place("exporter", "file", signal=signal)
    made = place.make(f"flush_interval = 0\n{toml}")
    await made.start()
    for each in batches:
        assert place.send(each)
        await settled(made)
    await made.stop(5)
    assert place.ledger.balanced, place.ledger
    return place


async def settled(made: Any) -> None:
    async with asyncio.timeout(20):
        while made.queue.size:
            await asyncio.sleep(0.001)  # a thread writes: nothing to wait on from outside


@pytest.mark.parametrize("signal", ["traces", "metrics", "logs"])
async def test_each_request_is_a_line_of_otlp_json(signal: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    sent = [batch(signal, 2), batch(signal, 3)]
    place = await export(f'path = "{path}"', *sent, signal=signal)
    lines = path.read_bytes().splitlines()
    assert [request_from_json(signal, line) for line in lines] == [b.payload for b in sent]
    assert (place.ledger.exported, place.ledger.dropped) == (5, {})


async def test_messages_stand_behind_their_lengths(tmp_path: Path) -> None:
    sent = [batch(items=2), batch(items=3)]
    await export(f'path = "{tmp_path}/{{signal}}.pb"\nformat = "proto"', *sent)
    content = (tmp_path / "traces.pb").read_bytes()
    found = []
    while content:
        size = int.from_bytes(content[:4], "big")
        found.append(content[4 : 4 + size])
        content = content[4 + size :]
    assert found == [b.payload for b in sent]


@pytest.mark.parametrize(
    ("compression", "read"), [("gzip", gzip.decompress), ("zstd", zstd.decompress)]
)
async def test_compressed_files_are_one_stream(compression: str, read: Any, tmp_path: Path) -> None:
    path = tmp_path / "out"
    toml = f'path = "{path}"\ncompression = "{compression}"'
    await export(toml, batch(), batch())
    await export(toml, batch())  # appended to by the next run
    assert len(read(path.read_bytes()).splitlines()) == 3


async def test_what_is_there_stays_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("before\n")
    await export(f'path = "{path}"', batch())
    assert path.read_text().startswith("before\n{")
    await export(f'path = "{path}"\nappend = false', batch(), batch())
    assert [line[:2] for line in path.read_text().splitlines()] == ['{"', '{"']


async def test_files_are_put_away_by_size_and_only_so_many_kept(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    other = tmp_path / "out-of-mind.jsonl"
    other.write_text("not ours")
    toml = f'path = "{path}"\nrotation = {{ max_size = "1KiB", max_backups = 2 }}'
    place = await export(toml, *(batch(items=3) for _ in range(5)))  # about 900 bytes each
    assert place.ledger.exported == 15
    assert len(path.read_text().splitlines()) == 1
    backups = sorted(p for p in tmp_path.glob("out-2*.jsonl"))
    assert [len(p.read_text().splitlines()) for p in backups] == [1, 1]
    assert other.exists()


async def test_files_are_put_away_by_age(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    now = [1_700_000_000 * 10**9]
    place = Place("exporter", "file", now_ns=lambda: now[0])
    made = place.make(
        f'path = "{path}"\nflush_interval = 0\n'
        'rotation = { interval = "1h", max_age = "1d", max_size = 0 }'
    )
    await made.start()
    for hours in (0, 0.5, 1, 1.2):
        now[0] = int((1_700_000_000 + hours * 3600) * 1e9)
        place.send(batch())
        await settled(made)
    await made.stop(5)
    (backup,) = tmp_path.glob("out-2023-11-14T23-13-20.000.jsonl")
    assert len(backup.read_text().splitlines()) == 2
    assert len(path.read_text().splitlines()) == 2


async def test_a_file_renamed_by_others_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    place = Place("exporter", "file")
    made = place.make(f'path = "{path}"\nflush_interval = 0')
    await made.start()
    place.send(batch())
    await settled(made)
    path.rename(tmp_path / "out.jsonl.1")
    place.send(batch())
    await settled(made)
    await made.stop(5)
    assert len(path.read_text().splitlines()) == 1


async def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    """/dev/full says ENOSPC to every write."""
    path = tmp_path / "out.jsonl"
    path.symlink_to("/dev/full")
    place = Place("exporter", "file", random=lambda: 0.5)
    made = place.make(
        f'path = "{path}"\nflush_interval = 0\nretry_on_failure = {{ initial_interval = "5ms" }}'
    )
    await made.start()
    assert place.send(batch())
    async with asyncio.timeout(20):
        while not place.context.condition.troubled:
            await asyncio.sleep(0.001)
    assert "No space left" in place.context.condition.error
    assert (place.ledger.exported, place.ledger.queued) == (0, 3)
    path.unlink()
    await settled(made)
    assert (place.ledger.exported, place.ledger.queued) == (3, 0)
    assert not place.context.condition.troubled
    await made.stop(5)
    assert len(path.read_text().splitlines()) == 1


async def test_a_disk_that_stays_full_is_counted() -> None:
    place = await export('path = "/dev/full"\nretry_on_failure = { enabled = false }', batch())
    assert place.ledger.dropped == {"retry_exhausted": 3}


async def test_a_write_cut_short_leaves_no_half_line(tmp_path: Path) -> None:
    """A limit on the file's size lets a write succeed in part, then fail."""
    code = """
import resource, signal, sys
from pathlib import Path
from proxy.collector.exporters.file.rotation import RotatingFile, Rules
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
file = RotatingFile(Path(sys.argv[1]), Rules(), append=True, fsync=True)
file.write(b"a" * 99 + b"\\n", 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (150, resource.RLIM_INFINITY))
try:
    file.write(b"b" * 99 + b"\\n", 0)
except OSError as error:
    print(error.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
file.write(b"c" * 99 + b"\\n", 0)
"""
    path = tmp_path / "out"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(path), stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2], env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip
    out, _ = await process.communicate()
    assert out.strip() == b"27"  # EFBIG
    assert path.read_bytes() == b"a" * 99 + b"\n" + b"c" * 99 + b"\n"


async def test_what_cannot_be_encoded_spoils_nothing_else(tmp_path: Path) -> None:
    place = Place("exporter", "file")
    made = place.make(f'path = "{tmp_path}/out"\nflush_interval = "1h"')
    await made.start()
    place.send(Batch("traces", b"\xff" * 9, 4))
    place.send(batch())
    await made.stop(5)
    assert (place.ledger.exported, place.ledger.dropped) == (3, {"malformed": 4})


@pytest.mark.parametrize(
    ("toml", "text"),
    [
        ("", "path"),
        ('path = "/x/"', "file name"),
        ('path = "/x/y"\nformat = "proto"', "{signal}"),
        ('path = "/x/y"\nrotation = { max_backups = -1 }', "max_backups"),
    ],
)
def test_settings_that_cannot_work(toml: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        settings("exporter", "file", toml)


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    made = Place("exporter", "file").make(f'path = "{tmp_path}/no/out"')
    with pytest.raises(ConfigError, match="no folder"):
        await made.start()
    await made.stop(0)
