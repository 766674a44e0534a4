"""Routes that can never match, because another one takes each of their requests first.

Reads patterns and conditions as they are written. Two rules, applied to each host of a route:
the same path with conditions that follow from its own, earlier in the order; and a regular
expression whose beginning lies under a prefix pattern, since prefixes are asked first. Routes with
an `order` are compared with each other alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from proxy.routing.conditions import follow
from proxy.routing.leaf import Leaf
from proxy.routing.pattern import is_capture

Shadow = tuple[int, int, str]
Shape = tuple[str, ...]

_META = re.compile(r"[\\^$.|?*+()\[\]{}]")


def find(
    leaves: Sequence[Leaf], hosts: Sequence[set[str]], label: Callable[[int], str]
) -> list[Shadow]:
    """All shadowed routes; a route with several hosts is one if it is shadowed in each."""
    takers: dict[tuple[int, str], Leaf] = {}
    by_host: dict[str, list[Leaf]] = {}
    for leaf in leaves:
        for host in hosts[leaf.index]:
            by_host.setdefault(host, []).append(leaf)
    for host, sharing in by_host.items():
        for leaf, taker in _pairs(sharing):
            takers[leaf.index, host] = taker
    found = []
    for leaf in leaves:
        mine = [takers.get((leaf.index, host)) for host in sorted(hosts[leaf.index])]
        if mine[0] is not None and all(mine):
            found.append((leaf.index, mine[0].index, _reason(leaf, mine[0], label)))
    return found


def literal_prefix(regex: str) -> str:
    """The text with which every full match of `regex` begins; "" if that is not plain to see."""
    text = regex.removeprefix("^")
    if "|" in text or "(?" in text:
        return ""
    meta = _META.search(text)
    if meta is None:
        return text
    # A quantifier may take the character before it away.
    return text[: meta.start() - 1] if meta[0] in "?*{" else text[: meta.start()]


def _pairs(leaves: list[Leaf]) -> list[tuple[Leaf, Leaf]]:
    """(shadowed, taker) among the routes of one host."""
    pairs = []
    groups: dict[Shape, list[Leaf]] = {}
    for leaf in sorted(leaves, key=_turn):
        group = groups.setdefault(_shape(leaf), [])
        earlier = [*group, *_prefixes(groups, leaf)]
        taker = next((t for t in earlier if _takes_all(t, leaf)), None)
        if taker is not None:
            pairs.append((leaf, taker))
        else:
            group.append(leaf)
    return pairs


def _turn(leaf: Leaf) -> tuple[bool, tuple[int, int]]:
    """Regular expressions last: prefixes anywhere in the file may take their requests."""
    return (not leaf.rank and leaf.pattern.kind == "regex", leaf.order())


def _shape(leaf: Leaf) -> Shape:
    """Equal for patterns that fit the same paths, whatever their captures are called."""
    pattern, ranked = leaf.pattern, "ranked" if leaf.rank else ""
    if pattern.kind in ("regex", "start"):
        return (ranked, pattern.kind, pattern.template)
    return (ranked, pattern.kind, *("{}" if is_capture(s) else s for s in pattern.segments))


def _takes_all(taker: Leaf, leaf: Leaf) -> bool:
    if taker.conditions is None:
        return True
    return leaf.conditions is not None and follow(taker.conditions, leaf.conditions)


def _prefixes(groups: dict[Shape, list[Leaf]], leaf: Leaf) -> Iterator[Leaf]:
    """Routes with a prefix under which every path lies that a regular expression matches."""
    pattern, ranked = leaf.pattern, "ranked" if leaf.rank else ""
    if pattern.kind == "regex":
        segments = literal_prefix(pattern.template[1:]).split("/")[1:-1]
        for count in range(len(segments) + 1):
            yield from groups.get((ranked, "prefix", *segments[:count]), ())


def _reason(leaf: Leaf, taker: Leaf, label: Callable[[int], str]) -> str:
    if leaf.rank:
        return f"{label(taker.index)} takes all its requests: its `order` comes first"
    if leaf.pattern.kind == "regex" and taker.pattern.kind == "prefix":
        return (
            f"{label(taker.index)} takes all its requests: prefixes come before regular expressions"
        )
    if leaf.index > taker.index and leaf.order()[0] == taker.order()[0]:
        return f"{label(taker.index)} has the same host and path, and comes first in the file"
    return (
        f"{label(taker.index)} has the same host and path, and conditions that always hold as well"
    )
