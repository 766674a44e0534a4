"""Accept-Encoding: which coding a client likes best of those that there are (RFC 9110 §12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WEIGHT = re.compile(rb"0(\.[0-9]{0,3})?|1(\.0{0,3})?")  # RFC 9110 §12.4.2
_MOST = 64  # members that are looked at; clients send four or five
_ALIASES = {b"x-gzip": b"gzip"}  # RFC 9110 §8.4.1.3


def weights(field: bytes) -> dict[bytes, int]:
    """Coding or "*" -> its weight in thousandths. What is malformed is passed over; of a coding
    that is named twice the first one counts."""
    found: dict[bytes, int] = {}
    for member in field.lower().split(b",")[:_MOST]:
        name, *parameters = (part.strip() for part in member.split(b";"))
        weight = _weight(parameters)
        if name and weight is not None:
            found.setdefault(_ALIASES.get(name, name), weight)
    return found


def preferred(field: bytes | None, offered: Sequence[bytes]) -> bytes:
    """Which of `offered` codings, the best first, an answer gets; b"" = it goes as it is.

    That is the one with the highest weight, of equal ones the first. Without the field a client
    would take anything, and mostly understands nothing: it gets the answer as it is, as from
    everybody. `identity` wins where it is named with a higher weight. A client that refuses
    `identity` and takes nothing that there is gets it all the same, as the RFC allows, since an
    error would help it less.
    """
    if field is None:
        return b""
    said = weights(field)
    others = said.get(b"*", 0)
    best, most = b"", said.get(b"identity", 0)
    for coding in offered:
        weight = said.get(coding, others)
        if weight > most or (weight == most and weight and not best):
            best, most = coding, weight
    return best


def _weight(parameters: Sequence[bytes]) -> int | None:
    """None for what is no weight."""
    if not parameters:
        return 1000
    name, _, value = parameters[0].partition(b"=")
    if len(parameters) > 1 or name.strip() != b"q" or not _WEIGHT.fullmatch(value.strip()):
        return None
    return round(float(value) * 1000)
