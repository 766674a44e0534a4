"""The grammar of lists to which each proxy adds a hop: Forwarded (RFC 7239 §4, §6), X-Forwarded-*.

Everything is read from the right, since a proxy writes behind what came: whatever stands before
its own member, quotes that are never closed for one, cannot take that member away.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address

Element = dict[str, str]  # the parameters of one hop, names in lower case; {} = malformed

MOST = 64  # hops that are looked at; what lies before them was hardly written by proxies

# Backslashes, and the quote or comma behind them; not from within a run, or it takes for ever.
_MARK = re.compile(r'(?<!\\)(\\*+)([",])')
_PARAMETER = re.compile(
    r"[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*"
    r'(?:"((?:[^"\\]|\\.)*+)"|([^",;\s]*+)))?[ \t]*(?:;|\Z)'
)
_ESCAPED = re.compile(r"\\(.)")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PORT = r"(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?"
_WITH_PORT = re.compile(rf"(?:\[([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)\]|([0-9.]+)){_PORT}")


def members(value: bytes | None) -> list[str]:
    """The members of a list, the right-most first; empty ones mean nothing (RFC 9110 §5.6.1.2)."""
    text = (value or b"").decode("latin-1")
    found = []
    end, quoted = len(text), False
    for mark in reversed(list(_MARK.finditer(text))):
        if mark[2] == '"':
            quoted ^= len(mark[1]) % 2 == 0
        elif not quoted:
            found.append(text[mark.end() : end].strip())
            end = mark.end() - 1
    found.append(text[:end].strip())
    return [member for member in found if member]


def element(text: str) -> Element:
    """One member of Forwarded; no parameter may come twice (RFC 7239 §4)."""
    found: Element = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None:
            return {}
        at = match.end()
        if match[1] is not None:
            name = match[1].lower()
            if name in found:
                return {}
            found[name] = match[3] if match[2] is None else _ESCAPED.sub(r"\1", match[2])
    return found


def address(node: str) -> str:
    """The IP address of a node identifier, without port, in its one spelling; "" if it has none.

    Only addresses are addresses: "unknown", "_hidden" and 999.1.1.1 are none.
    """
    text = unquoted(node)
    match = _WITH_PORT.fullmatch(text)
    if match is not None:
        text = match[1] or match[2]
    if "%" in text:
        return ""  # a zone means something on its own host only
    try:
        found = ip_address(text)
    except ValueError:
        return ""
    return str((found.ipv4_mapped if isinstance(found, IPv6Address) else None) or found)


def unquoted(text: str) -> str:
    """A member or value without the quotes around it."""
    return _ESCAPED.sub(r"\1", text[1:-1]) if len(text) > 1 and text[0] == text[-1] == '"' else text


def client(nodes: Sequence[str], trusted: Callable[[str], bool]) -> tuple[str, int]:
    """The first address from the right that is not trusted, and where it stands; "" = none.

    A node that is no address ends the search at itself: the nearest address before it counts.
    """
    found = ""
    for place, node in enumerate(nodes[:MOST]):
        here = address(node)
        if not here:
            return found, place
        found = here
        if not trusted(here):
            return found, place
    return found, max(min(len(nodes), MOST) - 1, 0)


def node(text: str) -> str:
    """What Forwarded says for a member of X-Forwarded-For."""
    found = address(text)
    return f"[{found}]" if ":" in found else found or "unknown"


def parameter(name: str, value: str) -> str:
    """A parameter of Forwarded, quoted where it must be; hosts always are, as most write them."""
    if name != "host" and _TOKEN.fullmatch(value):
        return f"{name}={value}"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'
