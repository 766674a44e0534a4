"""The map that an editor works on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from proxy.collector.expression.tokens import ExpressionError
from proxy.collector.ottl.arguments import Arguments
from proxy.collector.ottl.paths import View
from proxy.collector.ottl.values import OttlError, kind


def map_of(arguments: Arguments, name: str = "target") -> Callable[[View], Any]:
    """The map that an argument means; raises OttlError where there is something else."""
    place = arguments.place(arguments.nodes[name])
    if place.pairs is None:
        raise ExpressionError(f"`{name}` is a map", arguments.at(name), "such as span.attributes")
    pairs, get = place.pairs, place.get

    def found(view: View) -> Any:
        content = pairs(view)
        if content is None:
            raise OttlError(f"{name} is not a map but {kind(get(view))}")
        return content

    return found
