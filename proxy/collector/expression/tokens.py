"""The words of an expression, with their positions, and the one error that reading it may raise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

MAX_TEXT = 4096  # characters of one expression

Kind = Literal["name", "string", "int", "float", "bytes", "symbol", "end"]

_TOKEN = re.compile(
    r"""[ \t\r\n]*(?:
      (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<float>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+)
    | (?P<int>[0-9]+)
    | (?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<symbol>==|!=|<=|>=|[-+*/%<>=()\[\],.])
    )""",
    re.VERBOSE | re.DOTALL,
)
_SPACE = re.compile(r"[ \t\r\n]*")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}


class ExpressionError(ValueError):
    """Not an expression. `position` counts characters from 0; `remedy` is what to write."""

    def __init__(self, message: str, position: int, remedy: str = "") -> None:
        super().__init__(f"{message} (at character {position + 1})")
        self.position = position
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Token:
    kind: Kind
    text: str  # of strings the content
    at: int


def tokens(text: str) -> list[Token]:
    """All tokens, the last one of kind "end"; raises ExpressionError."""
    if len(text) > MAX_TEXT:
        raise ExpressionError(f"an expression has at most {MAX_TEXT} characters", MAX_TEXT)
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
            wrong = "a string does not end" if text[start] in "\"'" else "cannot be read"
            raise ExpressionError(f"{text[start]!r}: {wrong}", start)
        kind: Kind = match.lastgroup  # type: ignore[assignment]
        raw = match[kind]
        found.append(Token(kind, _content(raw, start) if kind == "string" else raw, start))
        pos = match.end()


def _content(raw: str, at: int) -> str:
    def replaced(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] == "u" and len(code) == 5:
            number = int(code[1:], 16)
            if 0xD800 <= number < 0xE000:
                raise ExpressionError("half of a surrogate pair", at + 1 + match.start())
            return chr(number)
        if code not in _ESCAPES:
            raise ExpressionError(f"\\{code} is no escape", at + 1 + match.start())
        return _ESCAPES[code]

    content = _ESCAPE.sub(replaced, raw[1:-1])
    if not content.isascii() and content.encode("utf-8", "replace").decode() != content:
        raise ExpressionError("half of a surrogate pair", at)
    return content
