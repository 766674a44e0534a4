"""The place in a list of tokens: what both languages' parsers ask of it."""

from __future__ import annotations

from proxy.collector.expression.tokens import ExpressionError, Token

MAX_DEPTH = 32  # of parentheses, lists, calls and signs within each other


class Cursor:
    """The base of a parser by recursive descent; every complaint is an ExpressionError."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def end(self) -> None:
        """Nothing may follow."""
        token = self._token
        if token.kind != "end":
            raise ExpressionError(f"{token.text!r} is not expected here", token.at)

    @property
    def _token(self) -> Token:
        return self._tokens[self._next]

    @property
    def _following(self) -> Token:
        """The token behind this one; the last is its own."""
        return self._tokens[min(self._next + 1, len(self._tokens) - 1)]

    def _take(self, *words: str) -> str:
        """Go past the token if it is one of these, which is then returned; else ""."""
        token = self._token
        if token.kind in ("name", "symbol") and token.text in words:
            self._next += 1
            return token.text
        return ""

    def _expect(self, text: str) -> None:
        if not self._take(text):
            found = self._token.text or "the end"
            raise ExpressionError(f"{text!r} is expected, not {found!r}", self._token.at)

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(f"more than {MAX_DEPTH} levels", self._token.at)
