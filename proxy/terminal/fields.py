"""Members of a JSON answer by their kind, whatever the answer really holds.

The other end may be another version, or no gateway at all: what is missing or of another kind is
empty, so that a command shows what it can. Text is not made harmless here but in `screen.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import isfinite

Table = dict[str, object]


def table(value: object) -> Table:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def tables(of: Table, key: str) -> list[Table]:
    """The objects in the list that is there."""
    value = of.get(key)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def number(of: Table, key: str) -> float | None:
    """None for null, for what is no number, and for one that is not finite."""
    value = of.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        return None
    return float(value)


def whole(of: Table, key: str) -> int:
    """As `number`, without a fraction; 0 for none."""
    return int(number(of, key) or 0)


def text(of: Table, key: str) -> str:
    """A string as it is, other values as JSON, nothing for null."""
    return shown(of.get(key))


def shown(value: object) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def texts(of: Table, key: str) -> list[str]:
    """The strings in the list that is there."""
    value = of.get(key)
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def pairs(of: Table, key: str) -> Iterator[tuple[float, float]]:
    """Lists of two numbers in the list that is there."""
    value = of.get(key)
    for each in value if isinstance(value, list) else []:
        if isinstance(each, list) and len(each) == 2:
            first, second = (number({"n": one}, "n") for one in each)
            if first is not None and second is not None:
                yield first, second
