"""Names of upstreams for clusters, whose own may be any text."""

from __future__ import annotations

import re
from collections.abc import Container
from hashlib import sha256

_fits = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}").fullmatch
_foreign = re.compile(r"[^A-Za-z0-9_.-]+").sub


def place_of(reason: str, places: Container[str], after: str = ":") -> str | None:
    """Which of the places a reason begins with, "PLACE: what is wrong"; a name may have colons."""
    end = reason.find(after)
    while end >= 0:
        if reason[:end] in places:
            return reason[:end]
        end = reason.find(after, end + 1)
    return None


def upstream_of(cluster: str) -> str:
    """The cluster's own name where that is one; else what is left of it, and a part of its hash,
    so that no two are called the same."""
    if _fits(cluster):
        return cluster
    mark = sha256(cluster.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    clean = _foreign("-", cluster).lstrip("_.-")[:54]
    return f"{clean}-{mark}" if clean else f"cluster-{mark}"
