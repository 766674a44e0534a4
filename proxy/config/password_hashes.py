"""Hashes of passwords as they stand in files: which count, and what is wrong with the others.

Argon2id (RFC 9106) and bcrypt alone. The others of htpasswd are made so quickly that whoever has
the file has the passwords: a graphics card tries 10⁹ a second of MD5 or SHA-1, of these some
thousands.
"""

from __future__ import annotations

import re

BCRYPT_MOST = 72  # bytes of a password: bcrypt does not see what follows

_ARGON2 = re.compile(
    r"\$argon2id\$v=19\$m=([1-9]\d{0,8}),t=([1-9]\d{0,3}),p=([1-9]\d{0,2})"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{16,86})"
)
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_WEAK = (
    ("$apr1$", "MD5 ($apr1$)"),
    ("$1$", "MD5 ($1$)"),
    ("{SHA}", "SHA-1 ({SHA})"),
    ("{SSHA}", "SHA-1 ({SSHA})"),
    ("$5$", "SHA-256 ($5$)"),
    ("$6$", "SHA-512 ($6$)"),
    ("$argon2i$", "Argon2i, not Argon2id"),
    ("$argon2d$", "Argon2d, not Argon2id"),
)
_CRYPT = re.compile(r"[./A-Za-z0-9]{13}")
_MOST_MEMORY, _MOST_TURNS = 256 * 1024, 16  # KiB, passes
_LEAST_COST, _MOST_COST = 8, 14  # of bcrypt: 2**8, 13 ms; 2**14, 0.9 s


def problem(hashed: str) -> str:
    """Why a hash does not count; "" if it does."""
    if hashed.startswith("$argon2id$"):
        return _argon2(hashed)
    if hashed.startswith(("$2a$", "$2b$", "$2y$")):
        return _bcrypt(hashed)
    for start, name in _WEAK:
        if hashed.startswith(start):
            return f"the hash is {name}, which does not protect a password"
    if _CRYPT.fullmatch(hashed):
        return "the hash is crypt's (DES), which does not protect a password"
    if not hashed:
        return "there is no hash"
    return "this is no hash, perhaps the password itself"


def is_argon2(hashed: str) -> bool:
    return hashed.startswith("$argon2id$")


def _argon2(hashed: str) -> str:
    said = _ARGON2.fullmatch(hashed)
    if said is None:
        return "the Argon2id hash is cut off or broken"
    memory, turns, lanes = int(said[1]), int(said[2]), int(said[3])
    if memory > _MOST_MEMORY or turns > _MOST_TURNS or lanes > 16:
        return "the Argon2id hash asks for more than 256 MiB, 16 passes or 16 lanes"
    if memory < 8 * lanes:
        return "the Argon2id hash is impossible: memory is 8 KiB for each lane at least"
    if memory * turns < 16 * 1024:
        return "the Argon2id hash is made too quickly: less than 16 MiB in all passes"
    return ""


def _bcrypt(hashed: str) -> str:
    said = _BCRYPT.fullmatch(hashed)
    if said is None:
        return "the bcrypt hash is cut off or broken"
    if not _LEAST_COST <= int(said[1]) <= _MOST_COST:
        return f"the cost of the bcrypt hash is {int(said[1])}, and must be 8 to 14"
    return ""
