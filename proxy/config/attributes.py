"""The sources that `[attributes]` may name, for the gateway's own spans.

Which parts a source has and whether a key may be used; how they are read from a request is not
known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from proxy.config.model import Config
from proxy.config.syntax import is_token

if TYPE_CHECKING:  # workers report nothing
    from proxy.config.report import Report

SOURCES = ("header", "cookie", "baggage", "jwt", "label")

# Attributes of the gateway itself begin so; a second one of the same key would be no valid span.
RESERVED = (
    "client.",
    "error.",
    "http.",
    "network.",
    "peer.",
    "rpc.",
    "server.",
    "spangate.",
    "url.",
    "user_agent.",
)


def parse_source(text: str) -> tuple[str, str]:
    """ "header:x-tenant" -> ("header", "x-tenant"); raises ValueError."""
    kind, colon, name = text.partition(":")
    if kind not in SOURCES or not colon or not name:
        raise ValueError(
            f'{text!r} is no source: write "header:x-tenant", "cookie:…", "baggage:…",'
            ' "jwt:claim" or "label:…"'
        )
    if kind in ("header", "cookie", "baggage") and not is_token(name):
        raise ValueError(f"{name!r} is no name of a {kind}: letters, digits and -")
    return kind, name


def check_attributes(config: Config, report: Report) -> None:
    """Report what cannot work in [attributes]."""
    labels = {*config.labels}.union(*(route.labels for route in config.route if route is not None))
    for key, text in config.attributes.items():
        path = ("attributes", key)
        if report.is_broken(*path):
            continue
        if not key or key.startswith(RESERVED):
            report.error(path, f"{key!r} belongs to the gateway", 'write "business.…"')
        elif key in labels:
            report.error(path, f"there is a label {key!r} already", "rename one of them")
        try:
            parse_source(text)
        except ValueError as error:
            report.error(path, str(error))


def from_labels(attributes: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, str]:
    """The attributes that a route's labels give: constants of the route."""
    found = {}
    for key, text in attributes.items():
        kind, name = parse_source(text)
        if kind == "label" and name in labels:
            found[key] = labels[name]
    return found
