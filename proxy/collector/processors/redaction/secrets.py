"""What looks like a secret in a text, and texts without it. Pure.

Patterns of our own have limited repetitions only; those of users are checked when the file is
read. A text that is longer than MAX_VALUE is cut, for what nobody looked at must not go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote_plus

MAX_VALUE = 16384  # characters of a value that are looked at
_SHORT, _REMEMBERED = 128, 4096  # characters, texts
_MARGIN = 512  # of these the last ones go too: half a secret may be among them

# Payment cards: 13 to 19 digits (ISO/IEC 7812-1), in groups or not, with a valid check digit.
_CARD = re.compile(r"(?<![0-9])(?:[0-9][ -]?){12,18}[0-9](?![0-9])")
_EMAIL = re.compile(
    r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}"  # RFC 5321 §4.5.3.1
)
_TOKEN = re.compile(
    r"eyJ[A-Za-z0-9_-]{5,2048}\.[A-Za-z0-9_-]{5,2048}\.[A-Za-z0-9_-]{0,2048}"  # JWT, RFC 7519
    r"|(?i:(?:bearer|basic)[ ]{1,4})[A-Za-z0-9._~+/=-]{8,2048}"  # RFC 6750, RFC 7617
    r"|(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"  # AWS access key id
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|xox[abprs]-[A-Za-z0-9-]{10,255}"  # GitHub, Slack
)
_PATTERNS = {"card": _CARD, "email": _EMAIL, "token": _TOKEN}

Mask = Callable[[str], str]


class Secrets:
    """What is masked in texts."""

    __slots__ = ("_allowed", "_blocked", "_harmless", "_mask")

    def __init__(
        self,
        kinds: Iterable[str],
        blocked: Iterable[re.Pattern[str]],
        allowed: Iterable[re.Pattern[str]],
        mask: Mask,
    ) -> None:
        self._blocked = [_PATTERNS[kind] for kind in kinds] + list(blocked)
        self._allowed = list(allowed)
        self._mask = mask
        self._harmless: set[str] = set()  # short texts that were looked at: most come again

    def cleaned(self, text: str) -> str:
        """The text with its secrets masked; the same object if there are none."""
        if text in self._harmless:
            return text
        if not self._blocked or any(pattern.search(text, 0, 1024) for pattern in self._allowed):
            return text
        shown = text if len(text) <= MAX_VALUE else text[:MAX_VALUE]
        for pattern in self._blocked:
            shown = pattern.sub(self._replaced, shown)
        if shown == text and len(text) <= _SHORT:
            if len(self._harmless) >= _REMEMBERED:
                self._harmless.clear()
            self._harmless.add(text)
            return text
        return shown if len(text) <= MAX_VALUE else shown[:-_MARGIN]

    def _replaced(self, match: re.Match[str]) -> str:
        found = match[0]
        if not found or (match.re is _CARD and not is_card(found)):
            return found
        return self._mask(found)


def is_card(text: str) -> bool:
    """Whether the digits in `text` end in the right check digit (ISO/IEC 7812-1, Luhn)."""
    total = 0
    for index, digit in enumerate(int(c) for c in reversed(text) if c.isdigit()):
        doubled = digit * 2 if index % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0 and total > 0


def query_cleaned(url: str, names: frozenset[str], mask: Mask) -> str:
    """A URL or a bare query with the values of these parameters masked ("*": of all)."""
    before, mark, query = url.partition("?")
    if not mark:
        if "=" not in before or "://" in before or before.startswith("/"):
            return url
        before, query = "", before
    query, hash_, fragment = query.partition("#")
    parts = []
    for part in query.split("&"):
        name, equals, value = part.partition("=")
        if equals and value and ("*" in names or unquote_plus(name).lower() in names):
            part = f"{name}={mask(value)}"
        parts.append(part)
    return before + mark + "&".join(parts) + hash_ + fragment
