"""Names: whether a query could hold one of some parameters. The twin of params.pyx."""

from __future__ import annotations

from collections.abc import Iterable


class Names:
    """Names of parameters that are looked for, as they are and percent-encoded."""

    __slots__ = ()

    def __init__(self, names: Iterable[str]) -> None:
        pass

    def may_be_in(self, query: str) -> bool:
        """False only if none of the names has a value in it; who is told True looks closer."""
        return "=" in query
