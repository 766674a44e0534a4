"""Names: whether a query could hold one of some parameters. The twin of params.pyx."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


class Names:
    """Names of parameters that are looked for, as they are and percent-encoded."""

    __slots__ = ()

    def __init__(self, names: Iterable[str]) -> None:
        pass

    # `may_be_in(query)`: false only if none of the names has a value in it; who is told something
    # true looks closer. Without a frame of its own (make bench-check).
    may_be_in: Callable[[str], object] = re.compile("=").search
