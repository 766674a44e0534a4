"""What the Workload API answers (spiffe/go-spiffe, workload.proto: X509SVIDResponse), read without
the library of protobuf, which a hub does not load: two messages and one map.

Any bytes are a Reply or a ValueError.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import NamedTuple

from proxy.config.spiffe import parse
from proxy.kernel.wire import fields

_DELIMITED = 2
_LINE = 64  # characters of a line of PEM


class Reply(NamedTuple):
    """The first SVID, which is the default one, in PEM; each reply is the whole state."""

    cert: bytes
    key: bytes
    trust: dict[str, bytes]  # authorities by trust domain
    others: int  # SVIDs that are not used


def read(message: bytes) -> Reply:
    """Raises ValueError, also for one that has no SVID."""
    try:
        svids = [_message(message, *piece) for piece in _pieces(message, 0, len(message), 1)]
        federated = dict(_federated(message))
    except ValueError:  # WireError, and text that is none
        raise ValueError("the Workload API's answer cannot be read") from None
    if not svids:
        raise ValueError("the Workload API has no identity for this process")
    said = svids[0]
    domain = _domain(said.get(1, b"").decode("ascii", "replace"))
    trust = {**federated, domain: pem_of_ders(said.get(4, b""))}
    cert = pem_of_ders(said.get(2, b""))
    key = _pem("PRIVATE KEY", said.get(3, b""))
    return Reply(cert, key, trust, len(svids) - 1)


def _domain(text: str) -> str:
    try:
        return parse(text).domain
    except ValueError as error:
        raise ValueError(f"the Workload API names {text!r}, no SPIFFE ID: {error}") from None


def pem_of_ders(data: bytes) -> bytes:
    """Certificates that follow one another, as PEM; ValueError if they are cut off."""
    made, start = [], 0
    while start < len(data):
        end = _end_of(data, start)
        made.append(_pem("CERTIFICATE", data[start:end]))
        start = end
    return b"".join(made)


def _end_of(data: bytes, start: int) -> int:
    """Where the DER sequence ends that begins there."""
    if data[start] != 0x30 or start + 2 > len(data):
        raise ValueError("the Workload API gave no certificate where one must be")
    size, at = data[start + 1], start + 2
    if size >= 0x80:
        count = size - 0x80
        size, at = int.from_bytes(data[at : at + count], "big"), at + count
    if at + size > len(data):
        raise ValueError("the Workload API gave half a certificate")
    return at + size


def _pem(kind: str, der: bytes) -> bytes:
    text = base64.b64encode(der).decode("ascii")
    lines = [text[i : i + _LINE] for i in range(0, len(text), _LINE)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""]).encode()


def _federated(message: bytes) -> Iterator[tuple[str, bytes]]:
    """Authorities of other trust domains; keys are written with or without the scheme. One of which
    there are none yet, as of a partner that could not be asked, must not cost our own identity."""
    for start, end in _pieces(message, 0, len(message), 3):
        entry = _message(message, start, end)
        name = entry.get(1, b"").decode("ascii").removeprefix("spiffe://").rstrip("/")
        if bundle := pem_of_ders(entry.get(2, b"")):
            yield name, bundle


def _message(data: bytes, start: int, end: int) -> dict[int, bytes]:
    """The last value of each field, as protobuf has it."""
    return {
        number: data[at:stop]
        for number, kind, _, at, stop in fields(data, start, end)
        if kind == _DELIMITED
    }


def _pieces(data: bytes, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    for number, kind, _, at, stop in fields(data, start, end):
        if number == wanted and kind == _DELIMITED:
            yield at, stop
