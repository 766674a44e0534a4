"""What a connection speaks, by its first bytes: HTTP, TLS, or what is no business of ours.

One look, and as few bytes as will do: who speaks something else may wait for an answer to what has
come. HTTP must begin like a request line that leads somewhere (RFC 9112 §3), for other protocols
have words and blanks as well: `SET key value` of Redis, `EHLO host` of SMTP. One empty line may be
before it (§2.2), which is as many as `server/h1_heads.py` ignores: who sends more would be refused
there, and may be understood by whom it has called.
"""

from __future__ import annotations

import re
from enum import IntEnum

from proxy.http.client_hello import is_tls
from proxy.http.h2 import PREFACE

_METHOD = re.compile(rb"[A-Z][A-Z0-9_.-]{0,31}")  # those that are registered have capitals alone
_LONGEST = 32  # characters of a method that is taken for one
_EMPTY = b"\r\n"
_SETTINGS = b"\4\0\0\0\0\0"  # of a frame's head: SETTINGS, no flags, stream 0 (RFC 9113 §6.5)
_VERSION = re.compile(rb" HTTP/1\.[0-9]\r?\Z")


class Spoken(IntEnum):
    """UNKNOWN: more bytes must come."""

    UNKNOWN = 0
    HTTP = 1
    TLS = 2
    BYTES = 3


def detect(data: bytes) -> Spoken:
    """What begins with `data`, which is all that has come."""
    if not data:
        return Spoken.UNKNOWN
    if is_tls(data):
        return Spoken.TLS
    if PREFACE.startswith(data[: len(PREFACE)]) or data.startswith(PREFACE):
        return Spoken.HTTP if len(data) > 4 else Spoken.UNKNOWN
    if data[0] == _EMPTY[0]:
        if len(data) <= len(_EMPTY):
            return Spoken.UNKNOWN if _EMPTY.startswith(data) else Spoken.BYTES
        data = data.removeprefix(_EMPTY)
    method, blank, rest = data.partition(b" ")
    if not _METHOD.fullmatch(method):
        return Spoken.BYTES
    if not blank:
        return Spoken.UNKNOWN if len(data) <= _LONGEST else Spoken.BYTES
    return _request_line(method, rest)


def is_settings(data: bytes) -> bool:
    """Whether a server begins so that speaks HTTP/2 and does not wait for its client's preface,
    as it need not (RFC 9113 §3.4)."""
    return data[3:9] == _SETTINGS and int.from_bytes(data[:3], "big") % 6 == 0


def is_answer(data: bytes) -> bool:
    """Whether a server begins so that speaks HTTP/1, though it was asked for nothing: 408."""
    return data.startswith(b"HTTP/1.")


def _request_line(method: bytes, rest: bytes) -> Spoken:
    """By what follows on the method."""
    if not rest:
        return Spoken.UNKNOWN
    line, newline, _ = rest.partition(b"\n")
    if newline:
        return Spoken.HTTP if _VERSION.search(line) else Spoken.BYTES
    if rest[:1] in (b"/", b"*"):
        return Spoken.HTTP
    start = rest[:7].lower()
    if b"http://".startswith(start) or b"https:/".startswith(start):
        return Spoken.HTTP if len(rest) >= 7 else Spoken.UNKNOWN
    return Spoken.HTTP if method == b"CONNECT" else Spoken.BYTES
