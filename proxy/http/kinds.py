"""Field names as peers spell them, and what each means to the readers that llhttp calls.

Peers send the same names again and again; this lookup is half the price of lower() and a set.
"""

from __future__ import annotations

from proxy.http.headers import DATE, REQUEST_SPECIAL, RESPONSE_SPECIAL, own

UNDERSCORE = b"_"  # of a name that is passed on, and has one

# Name -> None (passed on), UNDERSCORE or DATE (passed on and noticed), or that of a special one.
Kinds = dict[bytes, bytes | None]
REQUEST_KINDS: Kinds = {}
RESPONSE_KINDS: Kinds = {}
_MOST = 2048  # names that are remembered
_LONGEST = 64  # bytes of such a name


def request_kind(name: bytes) -> bytes | None:
    """What a name means that is not in REQUEST_KINDS."""
    low = name.lower()
    kind = own(low) if low in REQUEST_SPECIAL else UNDERSCORE if b"_" in name else None
    return _remember(REQUEST_KINDS, name, kind)


def response_kind(name: bytes) -> bytes | None:
    """What a name means that is not in RESPONSE_KINDS."""
    low = name.lower()
    kind = DATE if low == DATE else own(low) if low in RESPONSE_SPECIAL else None
    return _remember(RESPONSE_KINDS, name, kind)


def _remember(kinds: Kinds, name: bytes, kind: bytes | None) -> bytes | None:
    if len(name) <= _LONGEST:
        if len(kinds) >= _MOST:
            kinds.clear()
        kinds[name] = kind
    return kind
