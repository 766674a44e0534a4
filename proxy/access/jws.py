"""The compact form of a signed token (RFC 7515 §7.1), taken apart as strictly as it is defined.

What may be read in two ways is refused: two readers who differ, one of them the upstream, are how
tokens are forged. So base64url is canonical (no padding, no stray bits), an object has no name
twice at any depth, and numbers are those of JSON. The head is judged before the signature, the
claims are not looked at before it has been verified. Nothing here verifies or fetches anything:
a token never says which key it is to be checked with, beyond a name to look up (RFC 8725 §3.10).
"""

from __future__ import annotations

import json
from binascii import Error, a2b_base64, b2a_base64
from typing import Any

import msgspec

MALFORMED, ALGORITHM, TYPE = "malformed", "algorithm", "type"

DEPTH = 16  # of objects and lists in one another; identity providers' own tokens have 4
HEAD = 4096  # characters; a usual one has 100
KID = 512  # characters

_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URL = bytes.maketrans(b"+/", b"-_")
_PADDING = (b"", b"===", b"==", b"=")

# Keys that come in the token are those of whoever made it (CVE-2018-0114); extensions that must be
# understood (`crit`, of which `b64` is one, RFC 7797) are none of those that are understood here.
_NEVER = frozenset({"jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc"})


class Unsound(Exception):
    """A token that is not taken; `reason` is one of a few words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Jws:
    """A token whose head has been read."""

    __slots__ = ("_claims", "alg", "kid", "signature", "signed")

    def __init__(self, alg: str, kid: str, signed: bytes, claims: bytes, signature: bytes) -> None:
        self.alg = alg
        self.kid = kid  # "" = it names no key
        self.signed = signed  # what the signature is about
        self.signature = signature
        self._claims = claims

    def claims(self) -> dict[str, Any]:
        """To be asked for when the signature is known to be good; Unsound if they are none."""
        return read_object(unbase64(self._claims))


def parse(token: bytes, most: int, algorithms: frozenset[str], typ: str = "") -> Jws:
    """The token, if its head is one that may be verified; Unsound if it is not.

    `most`: bytes that it may have. `typ`: what the head's must be, "" = anything.
    """
    if len(token) > most or token.count(b".") != 2:
        raise Unsound(MALFORMED)  # four dots are a JWE (RFC 7516), which nobody here can open
    first, second, third = token.split(b".")
    if len(first) > HEAD or not third:
        raise Unsound(MALFORMED if third else ALGORITHM)
    head = read_object(unbase64(first))
    if not _NEVER.isdisjoint(head):
        raise Unsound(MALFORMED)
    alg, kid = head.get("alg"), head.get("kid", "")
    if not isinstance(alg, str) or not isinstance(kid, str) or len(kid) > KID:
        raise Unsound(MALFORMED)
    if alg not in algorithms:
        raise Unsound(ALGORITHM)
    _check_types(head, typ)
    return Jws(alg, kid, token[: len(first) + 1 + len(second)], second, unbase64(third))


def _check_types(head: dict[str, Any], typ: str) -> None:
    """RFC 7515 §4.1.9 and §4.1.10: "application/" may be left out, and case does not count."""
    said, content = head.get("typ", ""), head.get("cty", "")
    if not isinstance(said, str) or not isinstance(content, str):
        raise Unsound(MALFORMED)
    if content and _media(content) == "jwt":
        raise Unsound(MALFORMED)  # a token within a token (RFC 7519 §5.2)
    if typ and _media(said) != _media(typ):
        raise Unsound(TYPE)


def _media(name: str) -> str:
    return name.lower().removeprefix("application/")


def unbase64(text: bytes) -> bytes:
    """Of base64url without padding (RFC 7515 §2); Unsound for any other way to write the same."""
    try:
        data = a2b_base64(text.translate(_TO_STANDARD) + _PADDING[len(text) % 4])
    except Error:
        raise Unsound(MALFORMED) from None
    # Whatever the decoder has overlooked, it does not write.
    if b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=") != text:
        raise Unsound(MALFORMED)
    return data


def read_object(text: bytes) -> dict[str, Any]:
    """A JSON object; Unsound for what is none, has a name twice or is nested too deeply."""
    try:
        # msgspec refuses NaN, 1e400 and lone surrogates, which `json` takes; `json` alone can show
        # that a name comes twice, of which msgspec keeps the last.
        found = _json.decode(text)
        _twice.decode(text.decode())
    except (ValueError, RecursionError, msgspec.MsgspecError):
        raise Unsound(MALFORMED) from None
    if not isinstance(found, dict):
        raise Unsound(MALFORMED)
    if text.count(b"{") + text.count(b"[") > DEPTH and not _is_shallow(found, DEPTH):
        raise Unsound(MALFORMED)
    return found


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name comes twice")


def _is_shallow(value: object, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(_is_shallow(v, depth - 1) for v in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_shallow(v, depth - 1) for v in value)
    return True


_json = msgspec.json.Decoder()
_twice = json.JSONDecoder(object_pairs_hook=_once)
