"""What an API key costs at 100,000 keys, and what passwords do to a worker's loop.

    python -m benchmarks.access_keys

Times are of CPU, the best of many short runs, which other work on the machine disturbs least.
"""

from __future__ import annotations

import gc
import tempfile
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from time import perf_counter, process_time, sleep, thread_time
from types import SimpleNamespace
from typing import Any

from proxy.access.api_key import ApiKeys
from proxy.access.basic import verify
from proxy.access.check import Asked
from proxy.config import access_keys, key_form
from proxy.config.access_model import ApiKey
from proxy.config.key_table import Key, KeyTable, Owner, pack
from proxy.config.report import Report
from proxy.credentials import keys_file
from proxy.credentials.passwords import hashed
from proxy.http.head import RequestHead

KEYS, ASKED, RUNS = 100_000, 4_000, 25


def main() -> None:
    chance = Random(1)
    keys = [key_form.new(chance.randrange) for _ in range(KEYS)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.toml"
        path.write_text("\n".join(map(_entry, keys)))
        print(f"file of {KEYS:,} keys: {path.stat().st_size / 1e6:.1f} MB")
        packed = _load(path)
    print(f"table for workers: {len(packed) / 1e6:.1f} MB, no objects")
    table, lone = KeyTable(packed), KeyTable(_lone(keys))
    gc.freeze()  # as a worker does
    gc.set_threshold(50_000, 20, 20)
    strangers = [key_form.new(chance.randrange) for _ in range(ASKED)]
    _ask("the same key again and again", table, [keys[0]] * ASKED)
    _ask("1,000 keys in turns", table, keys[:1000] * (ASKED // 1000))
    _ask("another key each time, one owner", table, chance.sample(keys, ASKED), fresh=True)
    _ask("another key and owner each time", lone, chance.sample(keys, ASKED), fresh=True)
    _ask("unknown keys", table, strangers)
    _ask("no key", table, [""] * ASKED)
    for kind, by_bcrypt in (("Argon2id as `spangate password` makes it", False), ("bcrypt", True)):
        _hash(kind, hashed("correct horse", by_bcrypt))


def _entry(key: str) -> str:
    digest = sha256(key.encode()).hexdigest()
    return keys_file.entry("shop", key_form.id_of(key), digest, (1.8e9, 1.9e9), ["orders:read"])


def _lone(keys: list[str]) -> bytes:
    """A table in which each key has an owner of its own."""
    scopes = ("orders:read",)
    said = ((key, Owner(f"shop-{key_form.id_of(key)}", scopes)) for key in keys)
    return pack((sha256(key.encode()).digest(), Key(owner)) for key, owner in said)


def _load(path: Path) -> bytes:
    """Read as the hub does, beside a thread that wants a turn each millisecond."""
    late: list[float] = []
    over = threading.Event()
    other = threading.Thread(target=_watch, args=(over, late))
    other.start()
    gc.disable()
    start = thread_time()
    packed = access_keys.read(str(path), Report("routes.toml"), ("auth",))
    took = thread_time() - start
    gc.enable()
    over.set()
    other.join()
    waited = f"others waited {max(late) * 1e3:.1f} ms at most"
    print(f"read, judged and packed: {took:.2f} s of CPU; {waited}")
    return packed


def _watch(over: threading.Event, late: list[float]) -> None:
    """By the CPU time of the process: what other processes take is not waiting for the reader."""
    while not over.is_set():
        start = process_time()
        sleep(0.001)
        late.append(process_time() - start)


def _ask(what: str, table: KeyTable, keys: list[str], fresh: bool = False) -> None:
    requests = [_asked(key) for key in keys]
    best = min(_round(table, requests, fresh) for _ in range(RUNS))
    print(f"{what}: {best / len(keys) * 1e6:.2f} µs")


def _round(table: KeyTable, requests: list[Asked], fresh: bool) -> float:
    check = ApiKeys("keys", ApiKey(header="x-consumer"), table)
    decide: Callable[[Asked], Any] = check.decide
    if not fresh:
        for asked in requests:
            decide(asked)
    start = thread_time()
    for asked in requests:
        decide(asked)
    return thread_time() - start


def _asked(key: str) -> Asked:
    head = RequestHead()
    for name, value in _lines(key):
        head.receive(name, value)
    return Asked(head, "10.0.0.1", "https", "shop.example", 1.81e9)


def _lines(key: str) -> Iterator[tuple[bytes, bytes]]:
    yield b"accept", b"*/*"
    yield b"accept-encoding", b"gzip"
    if key:
        yield b"x-api-key", key.encode()


def _hash(kind: str, made: str) -> None:
    """How long one takes, and how much of Python another thread does meanwhile."""
    state = SimpleNamespace(took=0.0, cpu=0.0)
    over = threading.Event()

    def work() -> None:
        start, cpu = perf_counter(), thread_time()
        for _ in range(10):
            verify(made, b"wrong")
        state.took, state.cpu = perf_counter() - start, thread_time() - cpu
        over.set()

    verify(made, b"wrong")
    threading.Thread(target=work).start()
    cpu, start = thread_time(), perf_counter()
    while not over.is_set():
        pass
    share = (thread_time() - cpu) / (perf_counter() - start)
    print(f"{kind}: {state.took * 100:.0f} ms ({state.cpu * 100:.0f} of CPU) a password;"
          f" another thread had {share:.0%} of a processor meanwhile")  # fmt: skip


if __name__ == "__main__":
    main()
