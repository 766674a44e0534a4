"""The writers and the chunk scanner against their twins, over and over.

    python -m tests.kernel.differ_write --seconds 60 [--cases 0] [--seed 1]

Heads are mutated, read and written again by the compiled code and by the sources; bodies in chunks
are made, spoilt, cut anywhere and read by both. Whatever differs is printed, and the end is 1 if
anything did. `--seed` makes a run again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import proxy.errors
import proxy.http.edits
import proxy.http.encode
import proxy.http.h1
import proxy.kernel.chunks
from tests.kernel import heads
from tests.kernel.twins import plain

Pairs = list[tuple[bytes, bytes]]


def compiled(name: str) -> Any:
    return sys.modules[name]


class Side:
    """The compiled code, or the sources."""

    def __init__(self, load: Callable[[str], Any]) -> None:
        self.errors = load("proxy.errors")
        self.h1 = load("proxy.http.h1")
        self.edits = load("proxy.http.edits")
        self.encode = load("proxy.http.encode")
        self.chunks = load("proxy.kernel.chunks")

    def request(
        self,
        data: bytes,
        removed: frozenset[bytes] | None,
        added: Pairs,
        more: Pairs,
        framing: bytes,
    ) -> object:
        """The head in `data` as it leaves, or the words of its refusal."""
        try:
            head = self.h1.RequestReader().read(data)
        except self.errors.ProxyError as error:
            return str(error)
        edits = self.edits.Edits(head.target.decode("ascii", "replace"), "shop.example")
        edits.removed, edits.added = removed, added
        try:
            return self.encode.encode_request(head, edits, more, framing)
        except UnicodeEncodeError as error:
            return str(error)

    def answer(
        self,
        data: bytes,
        removed: frozenset[bytes] | None,
        added: Pairs,
        more: Pairs,
        framing: bytes,
    ) -> object:
        try:
            head = self.h1.ResponseReader().read(data)
        except self.errors.ProxyError as error:
            return str(error)
        edits = self.edits.Edits()
        edits.removed, edits.added = removed, added
        return self.encode.encode_response(head, edits, more, framing)

    def body(self, parts: list[bytes], padded: bool) -> object:
        """All that a decoder says of a body that comes in these parts."""
        decoder = self.chunks.ChunkedDecoder(padded=padded)
        said: list[object] = []
        for part in parts:
            try:
                said.append(decoder.feed(part))
                while decoder.has_more:
                    said.append(decoder.feed(b""))
            except self.chunks.ChunkedError as error:
                return [*said, str(error)]
            said.append((decoder.done, decoder._line))
            if decoder.done:
                break
        return [*said, decoder.trailers, decoder.rest]


_OTHERS = (b"x-a", b"accept", b"vary", b"x-own", b"set-cookie", b"nothing", b"x" * 60)


def some_head(one: Side, other: Side, random: Random) -> tuple[bytes, object, object]:
    """A head, and how each of the two writes it."""
    is_answer = random.random() < 0.4
    data = heads.mutated(random, random.choice(heads.ANSWERS if is_answer else heads.REQUESTS))
    names = [line.partition(b":")[0].lower() for line in data.split(b"\r\n")[1:-2]]
    few = random.sample([*names, *_OTHERS], random.choice((0, 1, 2, 5)))
    many = [b"n%d" % n for n in range(random.choice((0, 0, 0, 12, 30)))]
    removed = random.choice((None, frozenset([*few, *many])))
    added = [(b"name-%d" % n, b"v" * random.randrange(200)) for n in range(random.randrange(5))]
    more = [(name, b"") for name in few]
    framing = random.choice((b"", b"content-length: 3\r\n"))
    if is_answer:
        made = [side.answer(data, removed, added, more, framing) for side in (one, other)]
    else:
        made = [side.request(data, removed, added, more, framing) for side in (one, other)]
    return data, made[0], made[1]


_SIZES = (b"%x", b"%x", b"%X", b"%04x", b"%016x")
_EXTENSIONS = (b"", b"", b"", b";a", b' ;a="b c"', b"\t; x=\xe9")
_ODD_EXTENSIONS = (b"", b"", b" ", b"  \t", b";" + b"x" * 250, b";" + b"x" * 256, b" " * 999)
_ENDS = (b"", b"a: b\r\n", b"Grpc-Status:\t0 \r\nx:\r\n", b"a : b\r\n", b"a\r\n", b"x: \x00\r\n")
_SPOILT = (b"\r", b"\n", b"\r\n", b" ", b"\x00", b"g", b";", b"-", b"0", b"f", b"\xff", b":")


def some_body(one: Side, other: Side, random: Random) -> tuple[bytes, object, object]:
    """A body in chunks, and what each of the two reads."""
    extensions = random.choice((_EXTENSIONS[:1], _EXTENSIONS, _EXTENSIONS, _ODD_EXTENSIONS))
    count = random.choice((0, 1, 3, 20, 90))
    wire = b"".join(_chunk(random, extensions) for _ in range(count))
    wire += random.choice((b"0", b"0000", b"0;x", b"0" + random.choice(extensions))) + b"\r\n"
    wire += b"".join(random.choice(_ENDS[:3]) for _ in range(random.randrange(3)))
    wire += random.choice(_ENDS) if random.random() < 0.1 else b""
    wire += b"\r\n" + random.choice((b"", b"", b"GET / HTTP/1.1\r\n"))
    for _ in range(random.choice((0, 0, 0, 1, 3))):
        at = random.randrange(len(wire) + 1)
        wire = wire[:at] + random.choice(_SPOILT) + wire[at + random.randrange(3) :]
    ends = sorted(random.randrange(len(wire) + 1) for _ in range(random.choice((0, 0, 1, 4, 30))))
    parts = [wire[a:b] for a, b in zip([0, *ends], [*ends, len(wire)], strict=True)]
    padded = random.random() < 0.5
    return wire, one.body(parts, padded), other.body(parts, padded)


def _chunk(random: Random, extensions: Sequence[bytes]) -> bytes:
    size = random.choice((random.randrange(1, 16), random.randrange(1, 40), 300, 5000))
    data = (b"\r\n3\r\nabc\r\n0\r\n\r\n" * (size // 15 + 1))[:size]
    written = random.choice(_SIZES) % size
    return written + random.choice(extensions) + b"\r\n" + data + b"\r\n"


def was_refused(said: object) -> bool:
    return isinstance(said, str) or (isinstance(said, list) and isinstance(said[-1], str))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--cases", type=int, default=0, help="stop after so many of each kind")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if proxy.WHY_PLAIN:
        print("nothing is compiled:", proxy.WHY_PLAIN)
        return 2
    random = Random(options.seed)
    one, other = Side(compiled), Side(plain)
    began = time.monotonic()
    number = differing = refused = 0
    while time.monotonic() - began < options.seconds:
        for _ in range(1000):
            for case in (some_head, some_body):
                data, made, wanted = case(one, other, random)
                refused += was_refused(wanted)
                if made != wanted:
                    differing += 1
                    print(f"{data[:900]!r}\n  gives {made!r:.1800}\n  not   {wanted!r:.1800}\n")
        number += 1000
        if options.cases and number >= options.cases:
            break
    took = time.monotonic() - began
    print(
        f"{number} heads and {number} bodies in {took:.0f} s ({2 * number / took:.0f} a second), of"
        f" which {refused} are refused, seed {options.seed}: {differing} disagreements"
    )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
