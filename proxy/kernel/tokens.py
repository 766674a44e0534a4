"""Small things in heads: methods, paths, numbers."""

from __future__ import annotations

import re
from collections.abc import Callable


def know_methods(names: tuple[str, ...]) -> None:
    """The methods whose requests have an ordinary target: for the scanner alone."""


_MOST_DIGITS = 19  # below 2**64 in every reader


def decimal(value: bytes) -> int | None:
    """The number that 1 to 19 digits and nothing else say; None if they do not."""
    return int(value) if value.isdigit() and len(value) <= _MOST_DIGITS else None


_FORBIDDEN = bytes(range(9)) + bytes(range(10, 32)) + b"\x7f"


def is_value(text: bytes) -> bool:
    """Whether all of it may stand in a field's value (RFC 9110 §5.5)."""
    return len(text.translate(None, _FORBIDDEN)) == len(text)


_PLAIN = r"A-Za-z0-9_~!$&'()*+,;=:@\-"  # pchar without "." and "%", RFC 3986 §3.3
# Whether a path is in normal form and usual: "/", or segments that begin with neither a dot nor a
# slash and hold nothing to do, and perhaps a slash behind them: 0.2 µs for 14 characters.
# Possessive, so that nothing is tried twice: 0.3 instead of 0.4 µs for 67.
is_ordinary: Callable[[str], object] = re.compile(rf"(?:/[{_PLAIN}][{_PLAIN}.]*+)++/?|/").fullmatch
