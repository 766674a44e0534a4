"""Accept: as what a client likes an answer of the gateway's own best (RFC 9110 §12.5.1).

One rule for the gateway's short answers and for pages of an operator's. A client's word counts by
its most specific range; without a word, and of what it likes alike, JSON comes first, which
programs read; then HTML, then text. A browser names text/html and nothing else as high.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from typing import Literal

Kind = Literal["json", "html", "text"]
Weights = tuple[int, int, int]  # of JSON, HTML, text; in thousandths

KINDS: tuple[Kind, Kind, Kind] = ("json", "html", "text")

_WEIGHT = re.compile(rb"0(\.[0-9]{0,3})?|1(\.0{0,3})?")  # RFC 9110 §12.4.2
_MOST = 64  # ranges that are looked at; clients send one to eight
_LONGEST = 512  # bytes of a field that is remembered
_NAMED: tuple[tuple[bytes, ...], ...] = (
    (b"application/json", b"application/problem+json"),
    (b"text/html", b"application/xhtml+xml"),
    (b"text/plain",),
)
_WHOLE = (b"application/*", b"text/*", b"text/*")
_ANY: Weights = (1000, 1000, 1000)


def weights(accept: bytes | None) -> Weights:
    """How well the client likes each kind; all alike where it does not say, or nothing that can
    be understood."""
    if accept is None:
        return _ANY
    return _weights(accept) if len(accept) > _LONGEST else _known(accept)


def best(accept: bytes | None, offered: Collection[Kind]) -> Kind | None:
    """Which of `offered` it gets; None if it takes none of them."""
    liked = weights(accept)
    found, most = None, 0
    for kind, weight in zip(KINDS, liked, strict=True):
        if kind in offered and weight > most:
            found, most = kind, weight
    return found


def wants_text(accept: bytes | None) -> bool:
    """Whether a short answer is text and not JSON; of what is liked alike, for a browser it is."""
    json, html, text = weights(accept)
    return text > json or (text == json and html > json)


def _weights(accept: bytes) -> Weights:
    said: dict[bytes, int] = {}
    for member in accept.lower().split(b",")[:_MOST]:
        name, *parameters = (part.strip() for part in member.split(b";"))
        weight = _weight(parameters)
        if weight is not None and name.count(b"/") == 1:
            said[name] = max(weight, said.get(name, 0))
    if not said:
        return _ANY
    json, html, text = (
        _of(said, names, whole) for names, whole in zip(_NAMED, _WHOLE, strict=True)
    )
    return json, html, text


_known = lru_cache(256)(_weights)


def _of(said: dict[bytes, int], names: tuple[bytes, ...], whole: bytes) -> int:
    named = [said[name] for name in names if name in said]
    if not named and names is _NAMED[0]:  # a JSON of somebody's own
        named = [weight for name, weight in said.items() if name.endswith((b"/json", b"+json"))]
    return max(named) if named else said.get(whole, said.get(b"*/*", 0))


def _weight(parameters: list[bytes]) -> int | None:
    """Of a range with these parameters; None for what is no weight."""
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"q":
            value = value.strip()
            return round(float(value) * 1000) if _WEIGHT.fullmatch(value) else None
    return 1000
