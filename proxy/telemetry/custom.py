"""Attributes of a user's own on the SERVER span: from header fields, cookies, baggage and tokens.

Compiled once from `[attributes]`; read for sampled requests only. A token's signature is not
checked here: its claims say what the client says, and are good for finding requests, not for
letting them in.
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Iterable, Mapping
from typing import Protocol
from urllib.parse import unquote

from proxy.config.attributes import parse_source
from proxy.config.secrets import REDACTED


class Fields(Protocol):
    """A head."""

    def get(self, name: bytes, /) -> bytes | None:
        """A field's value by its lower-case name."""


MAX_VALUE = 256  # characters of an attribute
MAX_TOKEN = 16384  # bytes of a token that is looked into

_URL_SAFE = bytes.maketrans(b"-_", b"+/")  # base64url, RFC 4648 §5


class CustomAttributes:
    """What is read from each request."""

    __slots__ = ("_baggage", "_claims", "_cookies", "_headers", "_hidden")

    def __init__(self, attributes: Mapping[str, str], hidden: Iterable[str] = ()) -> None:
        """`hidden`: keys of those that are told without their values."""
        self._hidden = frozenset(hidden)
        self._headers: list[tuple[str, bytes]] = []
        self._cookies: dict[str, str] = {}  # name -> attribute
        self._baggage: dict[str, str] = {}
        self._claims: list[tuple[str, str]] = []
        for key, text in attributes.items():
            kind, name = parse_source(text)
            if kind == "header":
                self._headers.append((key, name.lower().encode("ascii")))
            elif kind == "cookie":
                self._cookies[name] = key
            elif kind == "baggage":
                self._baggage[name] = key
            elif kind == "jwt":
                self._claims.append((key, name))

    def __bool__(self) -> bool:
        """Whether anything is to be read at all; labels are constants of routes and not here."""
        return bool(self._headers or self._cookies or self._baggage or self._claims)

    def read(self, head: Fields, trusted: bool) -> list[tuple[str, str]]:
        """(key, value) of what the request has. Baggage counts only if it comes from a trusted
        caller; the others may be a stranger's."""
        found = []
        get = head.get
        for key, name in self._headers:
            value = get(name)
            if value is not None:
                found.append((key, _text(value)))
        if self._cookies:
            found += _named(get(b"cookie"), b";", self._cookies)
        if self._baggage and trusted:
            found += [(k, unquote(v)) for k, v in _named(get(b"baggage"), b",", self._baggage)]
        if self._claims:
            claims = claims_of(get(b"authorization"))
            for key, path in self._claims:
                claim = _claim(claims, path)
                if claim is not None:
                    found.append((key, claim))
        hidden = self._hidden
        return [(k, REDACTED if k in hidden else value[:MAX_VALUE]) for k, value in found]


def claims_of(authorization: bytes | None) -> dict[str, object]:
    """The claims of a bearer token (RFC 7519 §3), unverified; {} if there is none to be read."""
    if authorization is None or len(authorization) > MAX_TOKEN:
        return {}
    scheme, _, token = authorization.partition(b" ")
    parts = token.strip().split(b".")
    if scheme.lower() != b"bearer" or len(parts) != 3:
        return {}
    try:
        padded = parts[1].translate(_URL_SAFE) + b"=" * (-len(parts[1]) % 4)
        claims = json.loads(a2b_base64(padded))
    except (ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _claim(claims: Mapping[str, object], name: str) -> str | None:
    """A claim as text; of tables within the token by dots: "realm.tenant"."""
    value: object = claims.get(name)
    if value is None and "." in name:
        value = claims
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, list):
        value = ",".join(item for item in value if isinstance(item, str))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return str(value) if isinstance(value, int | float) else None


def _named(
    field: bytes | None, separator: bytes, wanted: Mapping[str, str]
) -> list[tuple[str, str]]:
    """The wanted name=value pairs of a Cookie (RFC 6265 §4.2) or Baggage field."""
    found: dict[str, str] = {}
    for part in (field or b"").split(separator):
        name, equals, value = part.partition(b"=")
        key = wanted.get(_text(name.strip())) if equals else None
        if key is not None and key not in found:
            found[key] = _text(value.partition(b";")[0].strip(b' \t"'))
    return list(found.items())


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
