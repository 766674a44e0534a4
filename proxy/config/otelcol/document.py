"""A YAML text as plain values, and the line of each. Nothing in it makes objects or grows large.

Scalars are those of YAML 1.2's core schema, as the Collector reads them: `on` and `1:30` are texts.
"""

from __future__ import annotations

import re
from typing import Any

from proxy.config.locate import Path
from proxy.errors import ConfigError, Problem

MAX_TEXT = 1024 * 1024  # characters of a file
MAX_DEPTH = 64
MAX_VALUES = 100_000  # with what aliases repeat

_NULL = ("", "~", "null", "Null", "NULL")
_BOOL = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")
)


def read(text: str, file: str) -> tuple[Any, dict[Path, int]]:
    """The value and the lines of its parts; raises ConfigError."""
    import yaml  # a collector's file is seldom read, and never by a worker

    if len(text) > MAX_TEXT:
        raise ConfigError([Problem("file", f"longer than {MAX_TEXT} characters", "", 0, file)])
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        raise ConfigError([_syntax(error, file)]) from None
    if node is None:
        return None, {}
    reader = _Reader(file)
    value = reader.value(node, (), 0)
    return value, reader.lines


def _syntax(error: Any, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    text = " ".join(str(getattr(error, "problem", None) or error).split())
    if mark is None:
        return Problem("syntax", text, "", 0, file)
    if "single document" in str(getattr(error, "context", "")):
        text = "a second document begins"
    remedy = "indent with blanks, not tabs" if "'\\t'" in text else ""
    return Problem("syntax", f"{text}, in column {mark.column + 1}", remedy, mark.line + 1, file)


class _Reader:
    """Builds values from yaml's nodes, which share what aliases repeat."""

    def __init__(self, file: str) -> None:
        self.lines: dict[Path, int] = {}
        self._file = file
        self._values = 0

    def value(self, node: Any, path: Path, depth: int) -> Any:
        self._values += 1
        line = node.start_mark.line + 1
        if self._values > MAX_VALUES or depth > MAX_DEPTH:
            self._refuse(path, "aliases or levels make it too large", line)
        self.lines.setdefault(path, line)
        if node.tag not in _TAGS:
            self._refuse(path, f"the tag {node.tag} is not known", line)
        if node.id == "mapping":
            return self._mapping(node, path, depth)
        if node.id == "sequence":
            return [self.value(item, (*path, i), depth + 1) for i, item in enumerate(node.value)]
        return _scalar(node.value) if node.style is None else node.value

    def _mapping(self, node: Any, path: Path, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.id != "scalar":
                self._refuse(path, "a key must be a text", key_node.start_mark.line + 1)
            key = str(key_node.value)
            if key == "<<" and key_node.style is None:
                self._merge(merged, value_node, path, depth)
                continue
            line = key_node.start_mark.line + 1
            if key in made:
                self._refuse((*path, key), "this key is there twice", line)
            self.lines[(*path, key)] = line
            made[key] = self.value(value_node, (*path, key), depth + 1)
        return {**merged, **made}

    def _merge(self, into: dict[str, Any], node: Any, path: Path, depth: int) -> None:
        """`<<: *base`: what is written in the table itself wins."""
        for part in node.value if node.id == "sequence" else [node]:
            if part.id != "mapping":
                self._refuse(path, "`<<` wants a table", part.start_mark.line + 1)
            for key, value in self._mapping(part, path, depth + 1).items():
                into.setdefault(key, value)

    def _refuse(self, path: Path, message: str, line: int) -> None:
        from proxy.config.locate import dotted

        raise ConfigError([Problem(dotted(path) or "file", message, "", line, self._file)])


def _scalar(text: str) -> Any:
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text) and len(text) < 40:
        return _whole(text.replace("_", ""))
    if _FLOAT.fullmatch(text):
        return float(text)
    special = text.lstrip("+-").lower()
    if special in (".inf", ".nan"):
        return float(text.lower().replace(".", ""))
    return text


def _whole(digits: str) -> Any:
    """Go takes a leading 0 for octal."""
    plain = digits.lstrip("+-")
    if len(plain) > 1 and plain[0] == "0" and plain.isdigit():
        digits = digits.replace("0", "0o", 1)
    try:
        return int(digits, 0)
    except ValueError:
        return digits
