"""Secrets in query strings: `sig=abc` becomes `sig=REDACTED`, before anything is recorded."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote_plus

from proxy.kernel.params import Names
from proxy.telemetry.protobuf import TEXT_LIMIT


class Redactor:
    """Knows the names of the parameters whose values nobody must see (url.query, url.full)."""

    __slots__ = ("_listed", "_names")

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._listed = Names(self._names)

    def query(self, query: str) -> str:
        """`query` with the values of listed parameters replaced. Names are compared with case,
        as the conventions say, and after decoding: `s%69g` is `sig` to the server behind us."""
        if not self._listed.may_be_in(query):
            return query[:TEXT_LIMIT]
        names = self._names
        # No more than this is recorded, and 8 KiB of "&" would keep us busy for half a ms.
        pairs = query[:TEXT_LIMIT].split("&")
        found = False
        for index, pair in enumerate(pairs):
            name, equals, _ = pair.partition("=")
            if equals and (name in names or ("%" in name and unquote_plus(name) in names)):
                pairs[index] = name + "=REDACTED"
                found = True
        return "&".join(pairs) if found else query[:TEXT_LIMIT]
