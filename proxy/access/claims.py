"""What verified claims must say (RFC 7519 §4.1, RFC 8725 §3.8 to §3.12), and what is told of them.

A claim of the wrong type is a refusal and never a claim that is not there: `exp = "never"` must
not be a token without an end. `login` by OpenID Connect reads its claims here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from proxy.access.jws import MALFORMED, Unsound

Claims = Mapping[str, Any]

EXPIRED, NOT_YET, ISSUER, AUDIENCE = "expired", "not_yet_valid", "issuer", "audience"
CLAIMS, SCOPE = "claims", "scope"

MOST_TOLD = 1024  # characters of a span attribute

_CONTROLS = {*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029}


class Wanted(NamedTuple):
    """What a check asks of registered claims; times in seconds."""

    issuer: str = ""  # exactly this; "" = any
    audience: frozenset[str] = frozenset()  # one of these; none = any
    leeway: float = 60.0
    require_exp: bool = True
    max_age: float = 0.0  # since `iat`; 0 = any


def check(claims: Claims, wanted: Wanted, now: float) -> float:
    """Until when they are valid, in Unix seconds, infinity = they do not end. Unsound if they are
    not valid at `now`."""
    until = _check_times(claims, wanted, now)
    if wanted.issuer and claims.get("iss") != wanted.issuer:
        raise Unsound(ISSUER)
    audience = texts(claims.get("aud", ""))
    if wanted.audience and wanted.audience.isdisjoint(audience):
        raise Unsound(AUDIENCE)
    for name in ("iss", "sub", "jti"):
        if not isinstance(claims.get(name, ""), str):
            raise Unsound(MALFORMED)
    return until


def _check_times(claims: Claims, wanted: Wanted, now: float) -> float:
    leeway = wanted.leeway
    ends, begins, made = (_date(claims, name) for name in ("exp", "nbf", "iat"))
    if ends is None and wanted.require_exp:
        raise Unsound(EXPIRED)
    until = float("inf") if ends is None else ends + leeway
    if wanted.max_age:
        if made is None:
            raise Unsound(EXPIRED)
        until = min(until, made + wanted.max_age + leeway)
    if now >= until:
        raise Unsound(EXPIRED)
    if (begins or 0) > now + leeway or (made or 0) > now + leeway:
        raise Unsound(NOT_YET)
    return until


def _date(claims: Claims, name: str) -> float | None:
    """A NumericDate (RFC 7519 §2), None = it is not there."""
    if name not in claims:
        return None
    value = claims[name]
    if type(value) not in (int, float):  # a bool is an int to Python, not to JSON
        raise Unsound(MALFORMED)
    try:
        return float(value)
    except OverflowError:
        raise Unsound(MALFORMED) from None


def texts(value: object) -> list[str]:
    """Of a claim that is a text or a list of texts; Unsound for all else."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return value
    raise Unsound(MALFORMED)


def scopes(claims: Claims) -> frozenset[str]:
    """Of `scope` (RFC 8693 §4.2: names with spaces between them), or else of `scp`, which some
    issuers write as a list. Neither = none."""
    said = claims.get("scope", claims.get("scp", ""))
    if isinstance(said, str):
        return frozenset(said.split(" ")) - {""}
    return frozenset(texts(said))


def _text(value: object) -> str | None:
    """As JSON writes it, a text without its quotes; None of what has no one text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


def line(value: object) -> bytes | None:
    """As the value of a field line in UTF-8, None = there is nothing to send.

    Unsound (`claims`) where the upstream could take it for something else: control characters,
    spaces at an end, which receivers cut off, and a comma in an element of a list, which would be
    two elements. To leave such a line out would let the request go on as one of nobody.
    """
    if isinstance(value, list):
        told = [_text(one) for one in value]
        if any(one is None or "," in one for one in told):
            raise Unsound(CLAIMS)
        text: str | None = ",".join(filter(None, told))
    else:
        text = _text(value)
    if not text:
        return None
    if text != text.strip() or not _CONTROLS.isdisjoint(map(ord, text)):
        raise Unsound(CLAIMS)
    return text.encode()


def attribute(value: object) -> str | int | None:
    """As the value of a span attribute, None = there is nothing to tell."""
    if isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, list):
        value = ",".join(filter(None, map(_text, value)))
    text = _text(value)
    return text[:MOST_TOLD] if text else None
