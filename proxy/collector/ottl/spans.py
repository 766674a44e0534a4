"""A condition on a span for those who have it as an `Item`: tail sampling's `ottl_condition`."""

from __future__ import annotations

from collections.abc import Callable

from proxy.collector.expression.compile import compile_condition as compile_own
from proxy.collector.expression.paths import Item
from proxy.collector.expression.tokens import ExpressionError
from proxy.collector.ottl.compile import compile_condition
from proxy.collector.ottl.paths import View
from proxy.collector.ottl.values import OttlError


def span_condition(source: str) -> Callable[[Item], bool]:
    """In OTTL, or else in our own language; raises ExpressionError for what is neither.

    A condition that fails on a span does not hold.
    """
    try:
        condition = compile_condition(source, "span")
    except ExpressionError as error:
        try:
            return compile_own(source, "span")
        except ExpressionError:
            raise error from None

    def holds(item: Item) -> bool:
        view = View(item.resource, item.scope)
        view.span = item.item
        try:
            return condition(view)
        except OttlError:
            return False

    return holds
