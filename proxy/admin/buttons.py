"""Requests that the pages of the admin port offer as buttons while a demo runs.

The demo says them in a variable of the gateway's environment, with paths alone, since nobody knows
the port before the gateway has it. Whoever serves /api/info reads them there. No I/O in here, and
what a demo is is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeVar

import msgspec

VARIABLE = "SPANGATE_DEMO"
MOST_TEXT = 16 * 1024  # characters of the variable
MOST = 16  # buttons

T = TypeVar("T")
Path = Annotated[str, msgspec.Meta(max_length=512, pattern=r"\A/[!-~]*\Z")]


class Button(msgspec.Struct, frozen=True):
    """One request. A page of another origin sends it and cannot read the answer (`no-cors`), for
    which browsers ask nobody first as long as it is a plain GET."""

    label: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    path: Path
    what: Annotated[str, msgspec.Meta(max_length=256)] = ""  # one sentence: what there is to see
    method: Literal["GET"] = "GET"


class _Said(msgspec.Struct, frozen=True):
    requests: list[msgspec.Raw]


def from_environment(
    environ: Mapping[str, str], gateway_url: str
) -> dict[str, list[dict[str, str]]] | None:
    """`{"requests": [{"label", "method", "url", "what"}]}`, or None where no demo runs.

    `gateway_url` is where this machine finds the gateway, without a path. What is no button is
    left out, and so is everything after the first sixteen.
    """
    text = environ.get(VARIABLE, "")
    if not text or len(text) > MOST_TEXT or not gateway_url.startswith(("http://", "https://")):
        return None
    said = _read(text, _Said)
    found = [_read(raw, Button) for raw in said.requests[:MOST]] if said is not None else []
    base = gateway_url.rstrip("/")
    requests = [
        {"label": b.label, "method": b.method, "url": base + b.path, "what": b.what}
        for b in found
        if b is not None and (b.label + b.what).isprintable()
    ]
    return {"requests": requests} if requests else None


def _read(text: str | msgspec.Raw, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError):  # of all that it may hold
        return None
