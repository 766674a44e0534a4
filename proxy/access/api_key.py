"""API keys: a secret in a header, a parameter or a cookie, looked up by its SHA-256.

A hash without salt and without cost is enough, as keys have 128 bits of chance or more: nobody
guesses one from its hash (passwords: `basic.py`). A lookup by hash also tells nothing by its time.
benchmarks/access_keys.py has the figures.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from urllib.parse import unquote_plus, unquote_to_bytes

from proxy.access.check import ABSENT, Asked, Identity, Refusal, Verdict
from proxy.access.made import Made
from proxy.config.access_model import ApiKey
from proxy.config.access_places import named, place
from proxy.config.key_form import is_broken
from proxy.config.key_table import KeyTable
from proxy.http.head import RequestHead

CONSUMER = "enduser.id"  # OpenTelemetry's name for whom credentials name; docs/access-keys.md

_LONGEST = 512  # bytes of a key
_FORM = re.compile(rb"[!-+\--~]+")  # a comma joins two lines of one field
_REMEMBERED = 1024
_AUTHORIZATION = b"authorization"

Read = Callable[[RequestHead], bytes | None]


def make(name: str, said: ApiKey, made: Made) -> ApiKeys:
    return ApiKeys(name, said, KeyTable(made.material.credentials[said.file]))


class ApiKeys:
    """The keys of one file."""

    __slots__ = (
        "_absent", "_header", "_identities", "_readers", "_refusals", "_table", "hidden_cookies",
        "hidden_queries", "kind", "name", "strips",
    )  # fmt: skip

    def __init__(self, name: str, said: ApiKey, table: KeyTable) -> None:
        self.name = name
        self.kind = "api_key"
        self._table = table
        self._readers = tuple(_reader(*place(text)) for text in said.places)
        self._header = said.header.lower().encode("ascii")
        self._identities: dict[int, Identity] = {}  # by the number of the owner
        self.hidden_queries: frozenset[str] = frozenset()
        self.hidden_cookies: frozenset[str] = frozenset()
        strips = {self._header} if self._header else set()
        if not said.keep:
            strips |= {name.lower().encode("ascii") for name in named(said.places, "header")}
            if "bearer" in said.places:
                strips.add(_AUTHORIZATION)
            self.hidden_queries = frozenset(named(said.places, "query"))
            self.hidden_cookies = frozenset(named(said.places, "cookie"))
        self.strips = frozenset(strips)
        challenge, more = b'ApiKey realm="spangate"', b""
        if "bearer" in said.places:  # RFC 6750 §3
            challenge, more = b'Bearer realm="spangate"', b', error="invalid_token"'
        self._absent = Refusal(401, ABSENT, challenge)
        self._refusals = {
            reason: Refusal(401, reason, challenge + more)
            for reason in ("malformed", "unknown_key", "expired", "disabled")
        }

    def decide(self, asked: Asked) -> Verdict:
        for read in self._readers:
            shown = read(asked.head)
            if shown:
                break
        else:
            return self._absent
        if len(shown) > _LONGEST:
            return self._refusals["malformed"]
        entry = self._table.find(sha256(shown).digest())
        if entry is None:
            is_malformed = _FORM.fullmatch(shown) is None or is_broken(shown)
            return self._refusals["malformed" if is_malformed else "unknown_key"]
        expires, is_disabled, owner = entry
        if is_disabled:
            return self._refusals["disabled"]
        if asked.now >= expires:
            return self._refusals["expired"]
        return self._identities.get(owner) or self._identity(owner)

    def _identity(self, number: int) -> Identity:
        owner = self._table.owner(number)
        identity = Identity(self.name, owner.name)
        identity.attributes = [(CONSUMER, owner.name)]
        identity.scopes = frozenset(owner.scopes)
        if self._header:
            identity.headers = [(self._header, owner.name.encode("ascii"))]
        if len(self._identities) >= _REMEMBERED:
            self._identities.clear()  # to take out the oldest of a dict is slow: 10 µs
        self._identities[number] = identity
        return identity


def _reader(kind: str, name: str) -> Read:
    """What gives the key of a request; None or b"" = this place has none. One that is there twice
    is given as both, with a comma, which no key has."""
    if kind == "bearer" or (kind, name.lower()) == ("header", "authorization"):
        return _bearer
    if kind == "query":
        return _query(name)
    if kind == "cookie":
        return _cookie(name.encode("ascii"))
    field = name.lower().encode("ascii")
    return lambda head: head.get(field)


def _bearer(head: RequestHead) -> bytes | None:
    value = head.get(_AUTHORIZATION)
    if value is None:
        return None
    scheme, _, key = value.partition(b" ")
    return key.strip(b" ") if scheme.lower() in (b"bearer", b"apikey") else None


def _query(wanted: str) -> Read:
    def read(head: RequestHead) -> bytes | None:
        if not head.query:
            return None
        found = []
        for piece in head.query.split("&"):
            name, equals, value = piece.partition("=")
            # As telemetry/redact.py compares them: what is found here must be hidden there.
            if equals and (name == wanted or ("%" in name and unquote_plus(name) == wanted)):
                found.append(_decoded(value))
        return b",".join(found) if found else None

    return read


def _decoded(value: str) -> bytes:
    if "%" in value or "+" in value:
        return unquote_to_bytes(value.replace("+", " "))
    return value.encode("utf-8", "replace")


def _cookie(wanted: bytes) -> Read:
    def read(head: RequestHead) -> bytes | None:
        field = head.get(b"cookie")
        if field is None:
            return None
        found = []
        for piece in field.split(b";"):
            name, equals, value = piece.partition(b"=")
            if equals and name.strip(b" \t") == wanted:
                found.append(value.strip(b" \t"))
        return b",".join(found) if found else None

    return read
