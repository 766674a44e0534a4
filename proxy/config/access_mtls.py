"""Names of client certificates (`[auth.NAME] mtls = { identities, subjects }`) as they are asked
for, and distinguished names as RFC 4514 writes them, taken apart.

Two names are the same if they are the same letter by letter once escapes are read. X.520 would
ignore case and blanks; who signs certificates writes them the same each time, and an attacker
who gets a name signed that differs in such a way gets nothing by it.
"""

from __future__ import annotations

import re

from proxy.config.access_model import Mtls
from proxy.config.locate import Path
from proxy.config.report import Report

Part = frozenset[tuple[str, str]]  # an RDN: one (type, value), or several that belong together

_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9-]*|\d+(?:\.\d+)+")
_ESCAPED = re.compile(r"\\(?:((?:[0-9A-Fa-f]{2})(?:\\[0-9A-Fa-f]{2})*)|([ \"#+,;<=>\\]))")
_IDENTITY = re.compile(r"[a-z][a-z0-9+.-]*://[!-)+-~]+(?:/\*)?")


def check(said: Mtls, report: Report, path: Path) -> None:
    """Report names that could never be those of a certificate, or those of too many."""
    for i, identity in enumerate(said.identities):
        place = (*path, "identities", i)
        if report.is_broken(*place) or identity is None:
            continue
        if identity.endswith("*") and not identity.endswith("/*"):
            message = f"{identity!r} would hold for other names that begin so"
            report.error(place, message, f'write "{identity.rstrip("*")}/*"')
        elif _IDENTITY.fullmatch(identity) is None:
            report.error(place, f"{identity!r} is not a URI", 'write "spiffe://partner/orders"')
    for i, subject in enumerate(said.subjects):
        place = (*path, "subjects", i)
        if report.is_broken(*place) or subject is None:
            continue
        try:
            parts_of(subject)
        except ValueError as error:
            message = f"{subject!r} is no part of a subject: {error}"
            report.error(place, message, 'write "CN=orders" or "CN=orders,O=Shop"')


def parts_of(text: str) -> frozenset[Part]:
    """The RDNs of a distinguished name; types in upper case, escapes read. Blanks around `,`, `+`
    and `=` do not count, unless they are escaped. ValueError."""
    if not text.strip():
        raise ValueError("there is nothing in it")
    return frozenset(
        frozenset(_pair(pair) for pair in _split(part, "+")) for part in _split(text, ",")
    )


def _split(text: str, at: str) -> list[str]:
    """`text` between separators that are not escaped."""
    pieces, start, place = [], 0, 0
    while place < len(text):
        if text[place] == "\\":
            place += 1
        elif text[place] == at:
            pieces.append(text[start:place])
            start = place + 1
        place += 1
    return [*pieces, text[start:]]


def _pair(text: str) -> tuple[str, str]:
    kind, equals, value = text.partition("=")
    kind = kind.strip(" ")
    if not equals or _TYPE.fullmatch(kind) is None:
        raise ValueError(f"{text.strip()!r} is no TYPE=value")
    value = value.lstrip(" ")
    while value.endswith(" ") and not _ends_escaped(value):
        value = value[:-1]
    if not value:
        raise ValueError(f"{kind} has no value")
    if value.startswith("#"):
        raise ValueError("values of hex digits (#…) are not understood")
    return kind.upper(), _read(value)


def _ends_escaped(value: str) -> bool:
    """Whether the blank at the end is escaped."""
    before = value[:-1]
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _read(value: str) -> str:
    made, at = [], 0
    while (found := value.find("\\", at)) >= 0:
        made.append(value[at:found])
        escape = _ESCAPED.match(value, found)
        if escape is None:
            raise ValueError("a backslash stands before what need not be escaped")
        if escape[1]:
            try:
                made.append(bytes.fromhex(escape[1].replace("\\", "")).decode("utf-8"))
            except UnicodeDecodeError:
                raise ValueError("escaped bytes are not UTF-8") from None
        else:
            made.append(escape[2])
        at = escape.end()
    return "".join([*made, value[at:]])
