"""What claims say, by a path of names, and whether that is what a route asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def lookup(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of that name, else "a.b" as b within a; None if there is none."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def fulfils(claims: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Whether each claim is what is wanted of it, or holds it where it is a list."""
    return all(_is(lookup(claims, path), value) for path, value in wanted.items())


def _is(found: Any, wanted: str) -> bool:
    if isinstance(found, list | tuple):
        return any(_is(item, wanted) for item in found if not isinstance(item, list))
    if isinstance(found, bool):
        return wanted == ("true" if found else "false")
    if isinstance(found, str):
        return found == wanted
    return isinstance(found, int) and str(found) == wanted
