"""What an issuer's answer by way of a browser says (RFC 6749 §4.1.2, RFC 9207)."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl

_CODE = 2048  # characters; usual ones have 30 to 800
_STATE = 128


class Return(NamedTuple):
    """What came in the query. Everything in it may be anybody's."""

    state: str
    code: str  # "" = the issuer has refused
    issuer: str  # as it says itself, "" = it does not


def read(query: str) -> Return | None:
    """None for what no issuer says."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=16, errors="strict")
    except ValueError:
        return None
    found = dict(pairs)
    names = [name for name, _ in pairs]
    if any(names.count(name) > 1 for name in ("state", "code", "error", "iss")):
        return None  # RFC 6749 §3.1: no parameter comes twice
    state, code = found.get("state", ""), found.get("code", "")
    if not _is_plain(state, _STATE) or ("error" not in found and not _is_plain(code, _CODE)):
        return None
    return Return(state, "" if "error" in found else code, found.get("iss", ""))


def _is_plain(text: str, most: int) -> bool:
    return 0 < len(text) <= most and all(" " <= c <= "~" for c in text)
