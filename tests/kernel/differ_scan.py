"""The scanner against llhttp, over and over: `python -m tests.kernel.differ_scan --seconds 60`.

Heads are mutated, and read by the compiled code and by the sources; whatever differs is printed:
accepted or refused, the words of a refusal, every field, value and offset. Ends with 1 if anything
did. `--seed` makes a run again.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from random import Random
from typing import Any

import proxy.config.model
import proxy.errors
import proxy.http.framing
import proxy.http.h1
import proxy.http.receive
import proxy.http.target
from tests.kernel import heads
from tests.kernel.twins import plain


@dataclass(frozen=True, slots=True)
class Limits:
    """As in the configuration, but small."""

    request_line: int = 400
    head_bytes: int = 4000
    head_fields: int = 40


@dataclass(frozen=True, slots=True)
class Rules:
    """What a snapshot says about heads; `check` is one of the side's own."""

    check: Any
    policy: str
    limits: Limits = Limits()

    def underscores(self, head: Any) -> None:
        self.check(self.policy, head)


class Side:
    """The readers of the compiled code, or of the sources."""

    def __init__(self, load: Any) -> None:
        self.errors = load("proxy.errors")
        self.h1 = load("proxy.http.h1")
        self.framing = load("proxy.http.framing")
        self.receive = load("proxy.http.receive")
        self.authorities = load("proxy.http.target").Authorities()
        check = self.receive.check_underscores
        self.rules = [Rules(check, policy) for policy in ("drop", "reject", "pass")]

    def request(self, data: bytes, rules: int) -> tuple[Any, Any]:
        """(the head, all that is known of it), or (None, its refusal)."""
        reader = self.h1.RequestReader()
        try:
            head = self.receive.receive(reader, data, self.rules[rules], self.authorities)
        except self.errors.ProxyError as error:
            return None, (type(error).__name__, error.status, str(error), error.close)
        said = [getattr(head, name) for name in REQUEST]
        return head, (said, list(head), list(head.fields.items()), reader.has_underscores())

    def answer(self, data: bytes, method: str) -> tuple[Any, Any]:
        reader = self.h1.ResponseReader()
        try:
            head = reader.read(data)
            self.framing.frame_response(head, method)
        except self.errors.ProxyError as error:
            return None, (type(error).__name__, error.status, str(error), error.close)
        said = [getattr(head, name) for name in ANSWER]
        return head, (said, list(head), list(head.fields.items()))


REQUEST = [
    "method",
    "target",
    "version",
    "path",
    "query",
    "tail",
    "authority",
    "length",
    "keep_alive",
    "seen",
]
ANSWER = ["status", "reason", "version", "length", "keep_alive", "dated", "seen"]


def compiled(name: str) -> Any:
    return sys.modules[name]


def misplaced(head: Any) -> str:
    """What is wrong with the offsets of a head that was scanned; "" = nothing."""
    lines = head.lines
    if lines is None:
        return ""
    data = lines.data
    at = data.index(b"\r\n") + 2
    found = lines.places()
    for start, name_end, value, value_end, end, _ in found:
        line = data[at : data.index(b"\r\n", at) + 2]
        name, _, rest = line.partition(b":")
        before = len(rest) - len(rest.lstrip(b" \t"))
        wanted = (
            at,
            at + len(name),
            at + len(name) + 1 + before,
            at + len(name) + 1 + before + len(rest[before:].strip()),
            at + len(line),
        )
        if (start, name_end, value, value_end, end) != wanted:
            return f"{line!r} is at {wanted} and not at {(start, name_end, value, value_end, end)}"
        at = end
    return "" if data[at:] == b"\r\n" else f"{data[at:]!r} is left"


def compare(one: Side, other: Side, random: Random) -> tuple[bytes, str, bool]:
    """(a head, how the two differ over it, whether the scanner read it)."""
    if random.random() < 0.6:
        data = heads.mutated(random, random.choice(heads.REQUESTS))
        rules = random.randrange(3)
        (head, found), (_, wanted) = one.request(data, rules), other.request(data, rules)
    else:
        data = heads.mutated(random, random.choice(heads.ANSWERS))
        method = random.choice(("GET", "HEAD"))
        (head, found), (_, wanted) = one.answer(data, method), other.answer(data, method)
    scanned = head is not None and head.lines is not None
    if found != wanted:
        return data, f"{found}\n  and not  {wanted}", scanned
    return data, misplaced(head) if scanned else "", scanned


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--heads", type=int, default=0, help="stop after so many")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if proxy.WHY_PLAIN:
        print("nothing is compiled:", proxy.WHY_PLAIN)
        return 2
    random = Random(options.seed)
    one, other = Side(compiled), Side(plain)
    began = time.monotonic()
    number = scanned = differing = 0
    while time.monotonic() - began < options.seconds:
        for _ in range(1000):
            data, why, by_scanner = compare(one, other, random)
            scanned += by_scanner
            if why:
                differing += 1
                print(f"{data[:900]!r}\n  is read as  {why[:1800]}\n", flush=True)
        number += 1000
        if options.heads and number >= options.heads:
            break
    took = time.monotonic() - began
    print(
        f"{number} heads in {took:.0f} s ({number / took:.0f} a second), {scanned} of them read by"
        f" the scanner alone, seed {options.seed}: {differing} disagreements"
    )
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
