"""Words: what a text of TraceQL is made of, each with its place.

Source: grafana/tempo docs "TraceQL", pkg/traceql/lexer.go for what a name is made of.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from proxy.recent.query import duration

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)
    | (?P<number>-?\d[\w.µ]*)
    | (?P<op>&&|\|\||!=|=~|!~|<=|>=|!>>|!<<|!>|!<|>>|<<|&>>|&<<|[=<>!{}()|,+*/^~%-])
    | (?P<name>(?:[^\s{}()=~!<>&|^,+*"'`%]|(?<=\.)"(?:[^"\\]|\\.)*")+)
    )""",
    re.VERBOSE,
)


class Token(NamedTuple):
    kind: str  # "text", "number", "op", "name", or "" at the end
    text: str
    at: int


def wrong(at: int, why: str) -> ValueError:
    """What to raise; `at` counts from 0."""
    return ValueError(f"TraceQL, at character {at + 1}: {why}")


def tokens(text: str) -> list[Token]:
    """With one of no kind at the end; ValueError for what cannot be read."""
    found: list[Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise wrong(at, f"{text[at : at + 20].strip()!r} cannot be read")
        found.append(Token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        at = match.end()
    return [*found, Token("", "", end)]


_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def unquoted(token: Token) -> str:
    """What a text says."""
    inner = token.text[1:-1]
    if token.text[0] == "`":
        return inner
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), inner, flags=re.DOTALL)


def number(token: Token) -> int | float:
    """Durations are ns."""
    text = token.text
    sign = -1 if text.startswith("-") else 1
    digits = text.removeprefix("-")
    try:
        if re.fullmatch(r"[0-9]{1,18}", digits):
            return sign * int(digits)
        if re.fullmatch(r"[0-9]{1,30}(\.[0-9]{0,30})?(e-?[0-9]{1,3})?", digits):
            return sign * float(digits)
        return sign * duration(digits)
    except (ValueError, OverflowError):
        raise wrong(token.at, f"{text[:40]!r} is no number and no duration") from None
