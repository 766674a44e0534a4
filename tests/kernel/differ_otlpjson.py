"""The reader of OTLP/JSON against `proxy.otlp.json` and `json_steps`, on texts at random.

    python -m tests.kernel.differ_otlpjson [--seconds 60] [--seed 1]

Where the reader makes something of a text, both others must make the same of it; where it gives up
there is nothing to differ. Texts that are nothing special it must read itself.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from random import Random
from typing import Any

import proxy
from proxy.kernel.otlpjson import Reader
from proxy.kernel.wire_error import WireError
from proxy.otlp import json as whole
from proxy.otlp import json_steps
from proxy.otlp.messages import REQUESTS
from proxy.otlp.schema import SCHEMAS
from proxy.otlp.turns import finished
from tests.kernel import otlp_samples

_ODD = (None, "", "x", "7", 7, -1, 1.5, 2.0, True, [], [None], {}, "NaN", "SPAN_KIND_SERVER", 1e400)
_ODD += (2**63, 2**64, -(2**63) - 1, "00", "-0", "1e3", "\ud83d", '\U0001f600\n\t"\\\x7f', "AA==")


def read(signal: str, text: bytes, random: Random) -> bytes | None:
    """None = it gave up."""
    reader = Reader(SCHEMAS[signal], text)
    while True:
        said = reader.step(random.choice((1, 2, 7, 50, 1000, len(text) + 1)))
        if said:
            return reader.result() if said > 0 else None


def check(signal: str, text: bytes, random: Random) -> bool:
    """Whether it could be read; raises AssertionError where they differ."""
    made = read(signal, text, random)
    if made is None:
        return False
    ours = REQUESTS[signal].FromString(made).SerializeToString(deterministic=True)
    for others in (
        lambda: whole.decoded(signal, text),
        lambda: finished(json_steps.decoded(signal, text)),
    ):
        try:
            found = others()
        except (WireError, KeyError) as error:
            raise AssertionError(f"{signal} {text!r}: read, but {error}") from None
        theirs = REQUESTS[signal].FromString(found).SerializeToString(deterministic=True)
        assert ours == theirs, f"{signal} {text!r}: {ours!r} and {theirs!r}"
    return True


def once(random: Random) -> int:
    """One request as text, as it is and in many odd ways; how many were compared."""
    signal = random.choice(otlp_samples.SIGNALS)
    message = otlp_samples.request(signal, random, faults=random.choice((0.0, 0.0, 0.1)))
    text = whole.request_to_json(signal, message.SerializeToString())
    plain = check(signal, text, random)
    assert plain or proxy.WHY_PLAIN or b'inity"' in text, text
    tree = json.loads(text)
    check(signal, text_of(shuffled(tree, random), random), random)
    for _ in range(5):
        check(signal, text_of(odd(json.loads(text), random), random), random)
    for _ in range(15):
        check(signal, otlp_samples.garbled(text, random), random)
    return 22


def text_of(tree: Any, random: Random) -> bytes:
    """As somebody else would write it."""
    made = json.dumps(
        tree, ensure_ascii=random.random() < 0.5, indent=random.choice((None, None, 1, "\t"))
    )
    return made.encode("utf-8", "replace")


def shuffled(tree: Any, random: Random) -> Any:
    """With members in another order, and numbers as texts or the other way round."""
    if isinstance(tree, dict):
        members = [(key, shuffled(value, random)) for key, value in tree.items()]
        random.shuffle(members)
        return dict(members)
    if isinstance(tree, list):
        return [shuffled(value, random) for value in tree]
    if isinstance(tree, str) and tree.isdigit() and random.random() < 0.5:
        return int(tree)
    return tree


def odd(tree: Any, random: Random) -> Any:
    """With something odd somewhere."""
    at = tree
    while True:
        places = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not places:
            return tree
        place = random.choice(places)
        if isinstance(at[place], dict | list) and random.random() < 0.8:
            at = at[place]
            continue
        if isinstance(at, dict) and random.random() < 0.3:
            at[random.choice(("new", "Name", "start_time_unix_nano", "ü"))] = random.choice(_ODD)
        else:
            at[place] = random.choice(_ODD)
        return tree


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=time.time_ns())
    given = parser.parse_args()
    if proxy.WHY_PLAIN:
        sys.exit(f"there is nothing to compare: {proxy.WHY_PLAIN}")
    random, until, number = Random(given.seed), time.monotonic() + given.seconds, 0
    while time.monotonic() < until:
        number += once(random)
    print(f"{number:,} texts, no difference (seed {given.seed})")


if __name__ == "__main__":
    main()
