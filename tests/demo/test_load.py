"""The demo's own requests: which ones, and what its terminal then does not show."""

from __future__ import annotations

from collections import Counter

import pytest

from proxy.collector.exporters.console.tree import Span, render
from proxy.demo.load import WithoutTrees, path


def test_most_requests_are_in_order_and_every_kind_comes() -> None:
    kinds = Counter(path(number) for number in range(20))
    assert kinds.pop("/shop/orders/13") == 2  # the second undoes what the first has done
    assert [kinds.pop(f"/shop/{rest}") for rest in ("orders/66", "orders/99", "stock/42")] == [
        1
    ] * 3
    assert len(kinds) == 15  # orders of all numbers
    assert [path(number) for number in range(1000, 1020)] != [path(n) for n in range(20)]


@pytest.mark.parametrize("colour", [False, True])
def test_lines_of_trees_are_left_out_and_no_others(colour: bool) -> None:
    span = Span(b"t" * 16, b"s" * 8, b"", "GET /", "server", 0, 10**6, False, {})
    child = Span(b"t" * 16, b"c" * 8, b"s" * 8, "GET /", "client", 0, 10**6, True, {})
    one, two = (render(spans, colour=colour) for spans in ([span], [span, child]))
    text = f"first\n\nsecond\n\n{one}third\n\n{two}\n{one}\ntrace of nothing\n"
    seen: list[str] = []
    show = WithoutTrees(seen.append)
    for line in text.splitlines():
        show(line)
    assert seen == ["first", "", "second", "third", "", "trace of nothing"]
