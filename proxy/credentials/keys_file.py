"""The text of a file of API keys, with one more key or some less; comments stay as they are."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from proxy.config.access_keys import HEADER


@dataclass(frozen=True, slots=True)
class Listed:
    """A key as it stands in the file: lines start to end-1 of it."""

    start: int
    end: int
    values: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.values.get("name", ""))

    @property
    def id(self) -> str:
        """Its id, else the beginning of its hash."""
        return str(self.values.get("id") or self.values.get("hash", "")[7:15])

    def state(self, now: datetime) -> str:
        """live, expired, disabled; broken: nobody can say."""
        if self.values.get("disabled"):
            return "disabled"
        expires = self.values.get("expires")
        if isinstance(expires, datetime):
            if expires.tzinfo is None:
                return "broken"
            return "expired" if expires <= now else "live"
        if isinstance(expires, date):
            return "expired" if expires <= now.date() else "live"
        return "live" if expires is None else "broken"


def entry(
    name: str, key_id: str, digest: str, times: Sequence[float], scopes: Sequence[str]
) -> str:
    """The lines of a key. `times`: Unix seconds of when it was made, and of its end, 0 = none."""
    created, expires = times
    lines = ["[[key]]", f"name = {_text(name)}", f"id = {_text(key_id)}"]
    lines += [f'hash = "sha256:{digest}"', f"created = {_time(created)}"]
    if expires:
        lines.append(f"expires = {_time(expires)}")
    if scopes:
        lines.append(f"scopes = [{', '.join(map(_text, scopes))}]")
    return "\n".join(lines) + "\n"


def added(text: str, more: str) -> str:
    """`text` with an entry at its end."""
    if not text:
        return more
    return text.rstrip("\n") + "\n\n" + more


def listed(text: str) -> Iterator[Listed]:
    """The keys in it. ValueError if it is not TOML."""
    lines = text.split("\n")
    starts = [n for n, line in enumerate(lines) if HEADER.fullmatch(line.rstrip("\r"))]
    for start, behind in zip(starts, [*starts[1:], len(lines)], strict=True):
        end = behind
        while end > start + 1 and not _says(lines[end - 1]):
            end -= 1  # comments before the next one are of that
        read = tomllib.loads("\n".join(lines[start:end]))
        yield Listed(start, end, read["key"][0])


def removed(text: str, which: Sequence[Listed]) -> str:
    """`text` without those keys."""
    lines = text.split("\n")
    for one in sorted(which, key=lambda listed: -listed.start):
        end = one.end
        if end < len(lines) and not lines[end].strip():
            end += 1  # the blank line behind it
        del lines[one.start : end]
    return re.sub(r"\n{2,}\Z", "\n", "\n".join(lines))


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _text(value: str) -> str:
    return json.dumps(value)  # of ASCII without control characters, of which TOML says the same


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
