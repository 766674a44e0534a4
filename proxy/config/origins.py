"""How origins are written: "https://shop.example", "https://*.shop.example", "~regex", "null", "*".

An origin is a scheme, a host and a port (RFC 6454 §6.2). Browsers write it in lower case and leave
the scheme's own port out, and what they write is compared byte by byte.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PORTS = {"http": "80", "https": "443"}
_LABELS = r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*"
_WRITTEN = re.compile(
    rf"([a-z][a-z0-9+.-]*)://(\*\.)?({_LABELS}|\[[0-9a-f:.]+\])(?::([0-9]{{1,5}}))?"
)
# What can be one at all: nothing else is compared, echoed or remembered.
SERIALISED = re.compile(
    rb"null|[a-z][a-z0-9+.-]{0,31}://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
    rb"(?::[1-9][0-9]{0,4})?"
)
LONGEST = 320  # bytes: a scheme, a host of 253, a port


class Origins(NamedTuple):
    """One of the list: exactly one of these says something."""

    exact: bytes = b""
    pattern: str = ""  # of the whole of it
    is_any: bool = False


def parse_origin(text: str) -> Origins:
    """What it stands for. Raises ValueError with the remedy."""
    if text == "*":
        return Origins(is_any=True)
    if text == "null":
        return Origins(exact=b"null")
    if text.startswith("~"):
        return Origins(pattern=_regex(text[1:]))
    match = _WRITTEN.fullmatch(text.lower())
    if match is None:
        raise ValueError(_why(text))
    scheme, wildcard, host, port = match.groups()
    digits = str(int(port)) if port else ""
    if digits and not 0 < int(digits) <= 65535:
        raise ValueError(f"{text!r} has no valid port")
    end = "" if digits in ("", _PORTS.get(scheme)) else f":{digits}"
    if not wildcard:
        return Origins(exact=f"{scheme}://{host}{end}".encode())
    if host.startswith("["):
        raise ValueError(f"{text!r}: an address has no subdomains")
    return Origins(pattern=rf"{re.escape(scheme)}://{_LABELS}\.{re.escape(host + end)}")


def is_broad(text: str) -> bool:
    """Whether a wildcard stands for domains of all sorts of people: "https://*.com"."""
    _, star, rest = text.partition("*.")
    return bool(star) and not text.startswith("~") and "." not in rest


def _regex(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is not a regular expression: {error}") from None
    return text


def _why(text: str) -> str:
    """What is wrong with what is no origin."""
    scheme, colon, rest = text.partition("://")
    if not colon:
        host = text.strip("/") or "shop.example"
        return f'{text!r} is not an origin, which has a scheme: write "https://{host}"'
    host = rest.partition("/")[0]
    if "/" in rest or "?" in rest or "#" in rest:
        return f'{text!r}: an origin has no path: write "{scheme}://{host}"'
    if "@" in rest:
        return f'{text!r}: an origin has no user: write "{scheme}://{rest.rpartition("@")[2]}"'
    if not rest.isascii():
        return f"{text!r}: browsers write such a host in ASCII, as xn--…: write it so"
    if "*" in rest:
        return (
            f'{text!r}: "*" stands for what is before a domain, "https://*.shop.example"; '
            'a regular expression can say more: "~https://.*"'
        )
    if host.endswith("."):
        return f'{text!r}: leave the dot at the end out: write "{scheme}://{host.rstrip(".")}"'
    return f'{text!r} is not an origin: write "https://shop.example" or "https://*.shop.example"'
