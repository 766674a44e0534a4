"""The words of an OTTL statement, with their positions.

Strings are Go's: double quotes and its escapes. What is no word raises ExpressionError.
"""

from __future__ import annotations

import re

from proxy.collector.expression.tokens import MAX_TEXT, ExpressionError, Kind, Token

_TOKEN = re.compile(
    r"""
      (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<bytes>0x[0-9A-Fa-f]+)
    | (?P<float>[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
    | (?P<int>[0-9]+)
    | (?P<string>"(?:[^"\\]|\\.)*")
    | (?P<symbol>==|!=|<=|>=|=>|[-+*/<>=()\[\]{},.:])
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE = re.compile(r"[ \t\r\n]*")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[0-7]{3}|.)", re.DOTALL)
_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"',
}  # fmt: skip


def tokens(text: str) -> list[Token]:
    """All tokens, the last one of kind "end"; raises ExpressionError."""
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"a statement has at most {MAX_TEXT} characters", MAX_TEXT)
    found: list[Token] = []
    pos = 0
    while True:
        space = _SPACE.match(text, pos)
        start = space.end() if space else pos
        if start == len(text):
            found.append(Token("end", "", start))
            return found
        match = _TOKEN.match(text, start)
        if match is None:
            raise ExpressionError(*_unreadable(text, start))
        kind: Kind = match.lastgroup  # type: ignore[assignment]
        raw = match[kind]
        found.append(Token(kind, _content(raw, start) if kind == "string" else raw, start))
        pos = match.end()


def _unreadable(text: str, at: int) -> tuple[str, int, str]:
    character = text[at]
    if character == '"':
        return "a string does not end", at, 'close it with "'
    if character == "'":
        return "a string has double quotes here", at, f'write "{text[at + 1 : at + 9]}…"'
    remedies = {"&": "write and", "|": "write or", "!": "write not", "~": "write IsMatch(…)"}
    return f"{character!r} cannot be read", at, remedies.get(character, "")


def _content(raw: str, at: int) -> str:
    def replaced(match: re.Match[str]) -> str:
        code = match[1]
        if len(code) > 1:
            digits, base = (code, 8) if code[0].isdigit() else (code[1:], 16)
            number = int(digits, base)
            if 0xD800 <= number < 0xE000 or number > 0x10FFFF:
                raise ExpressionError("not a character", at + 1 + match.start())
            return chr(number)
        if code not in _ESCAPES:
            place = at + 1 + match.start()
            raise ExpressionError(f"\\{code} is no escape", place, rf"write \\{code}")
        return _ESCAPES[code]

    content = _ESCAPE.sub(replaced, raw[1:-1])
    if not content.isascii() and content.encode("utf-8", "replace").decode() != content:
        raise ExpressionError("half of a surrogate pair", at)
    return content
