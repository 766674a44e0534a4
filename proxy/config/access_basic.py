"""A file of passwords (`[auth.NAME] basic = { file = … }`): lines of NAME:HASH, as htpasswd's.

Read, judged, and packed for workers: MessagePack of name -> hash.
"""

from __future__ import annotations

import re

import msgspec

from proxy.config.credential_file import CredentialFile
from proxy.config.locate import Path
from proxy.config.password_hashes import problem
from proxy.config.report import Report
from proxy.config.tls_pem import is_open

MOST = 16 * 1024 * 1024  # bytes of a file
NAME = re.compile(r"[^:\x00-\x1f\x7f-\x9f]{1,255}")  # RFC 7617 §2: no colon, no control characters

_REMEDY = "`spangate password NAME --file {}` makes such a file"


def read(path: str, report: Report, place: Path) -> bytes:
    """The hashes by name; b"" if the file is no use, which is told."""
    file = CredentialFile(path, report, place, _REMEDY.format(path))
    found: dict[str, tuple[str, int]] = {}
    for number, line in file.lines(MOST):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, hashed = line.partition(":")
        hashed = hashed.strip()
        if not colon or NAME.fullmatch(name) is None:
            file.wrong(number, "this is no NAME:HASH", _REMEDY.format(path))
        elif name in found:
            message = f"{name!r} is in line {found[name][1]} already"
            file.wrong(number, message, "leave out one of the two")
        elif why := problem(hashed):
            file.wrong(number, f"of {name!r} {why}", f"`spangate password {name} --file {path}`")
        else:
            found[name] = hashed, number
    if not found and not file.mistakes:
        file.empty("user")
    if file.mistakes:
        return b""
    if is_open(path):
        file.warn(0, "every user of the system can read it", f"`chmod 600 {path}`")
    return msgspec.msgpack.encode({name: hashed for name, (hashed, _) in found.items()})
