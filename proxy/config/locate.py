"""Where each key of a TOML text stands, because tomllib does not tell.

The text is one that tomllib has accepted: this walks it with a handful of regular expressions and
notes lines, and knows nothing of what the values mean.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence

Path = tuple[str | int, ...]  # ("route", 2, "timeout") is route[2].timeout

_SPACE = re.compile(r"[ \t]*")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")  # numbers, booleans, dates (which may contain a blank)
_STRINGS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r'"""(?:\\.|[^\\])*?"""(?:"{0,2})',
        r"'''.*?'''(?:'{0,2})",
        r'"(?:\\.|[^"\\\n])*"',
        r"'[^'\n]*'",
    )
)


class Lines:
    """Key path -> 1-based line."""

    __slots__ = ("_at", "_moved", "_short")

    def __init__(self, at: dict[Path, int] | None = None) -> None:
        self._at = at if at is not None else {}
        self._short: dict[Path, Path] = {}
        self._moved: dict[Path, Path] = {}

    def exact(self, path: Path) -> int:
        """The line on which this very key stands, 0 if it is not written in the file."""
        return self._at.get(self._origin(path) if self._moved else path, 0)

    def parts(self) -> list[Path]:
        """What it is made of, so that it can be freed piece by piece."""
        return list(self._at)

    def near(self, path: Path) -> int:
        """The line of the key or of the nearest table around it, 0 if there is none."""
        while path:
            if line := self.exact(path):
                return line
            path = path[:-1]
        return 0

    def alias(self, path: Path, written: Path) -> None:
        """Note that what is now at `path` is a short form's, which stands at `written`."""
        self._short.setdefault(path, written)

    def move(self, path: Path, written: Path) -> None:
        """Note that what is now at and below `path` stands at and below `written`."""
        self._moved[path] = written

    def written(self, path: Path) -> Path:
        """The path as the user wrote it."""
        for n in range(len(path), 0, -1):
            if path[:n] in self._short:
                return self._origin(self._short[path[:n]])
        return self._origin(path)

    def _origin(self, path: Path) -> Path:
        for n in range(len(path), 0, -1):
            if path[:n] in self._moved:
                path = (*self._moved[path[:n]], *path[n:])
        return path


def locate(text: str) -> Lines:
    """The lines of all keys and array elements of a valid TOML document."""
    return _Walk(text.replace("\r\n", "\n")).document()


def marked(text: str) -> tuple[list[tuple[Path, int, int]], list[tuple[Path, int]]]:
    """Where each value of a valid TOML document with plain newlines begins and ends, those in
    arrays and inline tables before these themselves; and the headers of tables with their places.

    ValueError if it could not be read to its end.
    """
    walk = _Walk(text)
    walk.values, walk.headers = [], []
    walk.document()
    if walk.pos < len(text):
        raise ValueError(f"no TOML from character {walk.pos} on")
    return walk.values, walk.headers


def dotted(path: Path) -> str:
    """A key path as people write it: `route[2].headers.request.set."x-a.b"`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += "." if text else ""
            text += step if _BARE_KEY.fullmatch(step) else f'"{step}"'
    return text


class _Walk:
    """One pass over one document."""

    __slots__ = ("at", "headers", "newlines", "pos", "tables", "text", "values")

    def __init__(self, text: str) -> None:
        self.text = text
        self.pos = 0
        self.newlines = [m.start() for m in re.finditer("\n", text)]
        self.at: dict[Path, int] = {}
        self.tables: dict[Path, int] = {}  # [[x]] so far
        self.values: list[tuple[Path, int, int]] | None = None  # None = nobody asks
        self.headers: list[tuple[Path, int]] | None = None

    def document(self) -> Lines:
        prefix: Path = ()
        self.skip(_BLANK)
        while self.pos < len(self.text):
            start = self.pos
            if self.text[start] == "[":
                prefix = self.header()
                if self.headers is not None:
                    self.headers.append((prefix, start))
            else:
                self.pair(prefix)
            self.skip(_BLANK)
            if self.pos == start:  # not TOML after all: what is known so far is better than nothing
                break
        return Lines(self.at)

    def header(self) -> Path:
        line = self.line()
        array = self.text.startswith("[[", self.pos)
        self.pos += 2 if array else 1
        keys = self.keys()
        self.pos += 2 if array else 1
        path: Path = ()
        for key in keys[:-1]:
            path = self.into((*path, key), line)
        path = (*path, keys[-1])
        if not array:
            return self.into(path, line)
        self.note(path, line)
        index = self.tables[path] = self.tables.get(path, -1) + 1
        self.note((*path, index), line)
        return (*path, index)

    def into(self, path: Path, line: int) -> Path:
        """The table that a header means by `path`: of an array of tables, its last one."""
        self.note(path, line)
        return (*path, self.tables[path]) if path in self.tables else path

    def pair(self, prefix: Path) -> None:
        line = self.line()
        path = prefix
        for key in self.keys():
            path = (*path, key)
            self.note(path, line)
        self.pos += 1  # "="
        self.skip(_SPACE)
        self.value(path)

    def value(self, path: Path) -> None:
        start = self.pos
        first = self.text[start : start + 1]
        if first == "[":
            self.several(path, "]")
        elif first == "{":
            self.several(path, "}")
        elif first not in ('"', "'") or not self.string():
            self.skip(_BARE_VALUE)
        if self.values is not None:
            self.values.append((path, start, self.pos))

    def several(self, path: Path, end: str) -> None:
        """An array or an inline table."""
        self.pos += 1
        index = 0
        self.skip(_BLANK)
        while self.pos < len(self.text) and self.text[self.pos] != end:
            start = self.pos
            if end == "]":
                self.note((*path, index), self.line())
                self.value((*path, index))
            else:
                self.pair(path)
            index += 1
            self.skip(_BLANK)
            if self.text.startswith(",", self.pos):
                self.pos += 1
                self.skip(_BLANK)
            if self.pos == start:
                break
        self.pos += 1

    def keys(self) -> Sequence[str]:
        """A dotted key; afterwards the position is at what follows it."""
        keys = []
        while True:
            self.skip(_SPACE)
            if bare := _BARE_KEY.match(self.text, self.pos):
                self.pos = bare.end()
                keys.append(bare[0])
            else:
                keys.append(_unquoted(self.string()))
            self.skip(_SPACE)
            if not self.text.startswith(".", self.pos):
                return keys
            self.pos += 1

    def string(self) -> str:
        for pattern in _STRINGS:
            if found := pattern.match(self.text, self.pos):
                self.pos = found.end()
                return found[0]
        return ""

    def skip(self, pattern: re.Pattern[str]) -> None:
        if found := pattern.match(self.text, self.pos):
            self.pos = found.end()

    def line(self) -> int:
        return bisect_left(self.newlines, self.pos) + 1

    def note(self, path: Path, line: int) -> None:
        self.at.setdefault(path, line)


def _unquoted(token: str) -> str:
    if not token:
        return ""
    import tomllib  # a worker, which knows secrets by their paths, reads no file

    value = tomllib.loads(f"k = {token}")["k"]
    return str(value)
