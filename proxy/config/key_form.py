"""How an API key looks that `spangate key add` has made: sg_ID_SECRETCHECKSUM.

The prefix is for scanners that look for secrets in files, the id says which key it is without
telling it, the secret has 190 bits of chance, and the checksum tells a typo from an unknown key
(the idea and the CRC-32 in base 62 are GitHub's, "Behind GitHub's new authentication token
formats", 2021). Whoever looks for them: `sg_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}`.
"""

from __future__ import annotations

import re
from binascii import crc32
from collections.abc import Callable

PREFIX = b"sg_"
_ID, _SECRET, _SUM = 8, 32, 6  # characters
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_FORM = re.compile(rb"sg_[0-9A-Za-z]{8}_[0-9A-Za-z]{38}")
ID = re.compile(rf"[0-9A-Za-z]{{{_ID}}}")


def new(below: Callable[[int], int]) -> str:
    """A new key; `below(n)` gives a random number from 0 to n-1, of which nobody knows the next."""
    chance = "".join(_DIGITS[below(62)] for _ in range(_ID + _SECRET))
    body = f"sg_{chance[:_ID]}_{chance[_ID:]}"
    return body + _checksum(body.encode("ascii"))


def id_of(key: str) -> str:
    """The id within a key that `new` has made."""
    return key[len(PREFIX) : len(PREFIX) + _ID]


def is_broken(key: bytes) -> bool:
    """Whether it wants to be one of ours and is none: cut off, or mistyped."""
    if not key.startswith(PREFIX):
        return False
    if _FORM.fullmatch(key) is None:
        return True
    return _checksum(key[:-_SUM]).encode("ascii") != key[-_SUM:]


def _checksum(body: bytes) -> str:
    number, digits = crc32(body), ""
    for _ in range(_SUM):
        number, digit = divmod(number, 62)
        digits = _DIGITS[digit] + digits
    return digits
