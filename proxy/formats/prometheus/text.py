"""The text that Prometheus scrapes, read: format 0.0.4 and OpenMetrics 1.0.

One line at a time and nothing kept but metadata: what a series is, is looked at once by whoever
remembers series by their text (`parse_series`), since a target says the same names at each scrape.
Knows nothing of OTLP, targets and limits.

Source: prometheus/docs exposition_formats.md; OpenMetrics 1.0 "Text format".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NoReturn

# (text of the series, value, Unix ns or None, exemplar or None)
Sample = tuple[str, float, int | None, "Exemplar | None"]
# (labels, value, Unix ns or 0)
Exemplar = tuple[list[tuple[str, str]], float, int]

TYPES = frozenset(
    word
    for group in ("counter gauge histogram summary untyped unknown", "gaugehistogram info stateset")
    for word in group.split()
)
# What a family's samples may be called besides its own name.
SUFFIXES: dict[str, tuple[str, ...]] = {
    "histogram": ("_bucket", "_count", "_sum", "_created"),
    "gaugehistogram": ("_bucket", "_gcount", "_gsum"),
    "summary": ("_count", "_sum", "_created"),
    "counter": ("_total", "_created"),
    "info": ("_info",),
}
_ALL_SUFFIXES = ("_bucket", "_count", "_sum", "_created", "_gcount", "_gsum", "_total", "_info")

MAX_LINE = 64 * 1024  # a series of more is nobody's; what a regular expression costs is bounded

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_BRACES = rf'\{{(?:[^"}}]|{_QUOTED})*\}}'
_WITH_EXEMPLAR = re.compile(
    rf"([^{{\s]*(?:{_BRACES})?)\s+(\S+(?:\s+\S+)?) # ({_BRACES}) (\S+)(?: (\S+))?\s*"
)
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(rf"\s*([a-zA-Z_][a-zA-Z0-9_]*|{_QUOTED})\s*=\s*({_QUOTED})\s*(,|$)")
_QUOTED_NAME = re.compile(rf"\s*({_QUOTED})\s*(,|$)")
_ESCAPES = {r"\\": "\\", r"\"": '"', r"\n": "\n"}
_ESCAPE = re.compile(r"\\[\\\"n]")


class TextError(ValueError):
    """Not the format that it claims to be."""


class Family:
    """What `# TYPE`, `# HELP` and `# UNIT` said of a name; "" = nothing."""

    __slots__ = ("help", "name", "type", "unit")

    def __init__(self, name: str, type: str = "") -> None:
        self.name = name
        self.type = type
        self.help = ""
        self.unit = ""


class Families:
    """All metadata of one target; kept from scrape to scrape.

    `changes` grows when a name that was asked for may have another answer now.
    """

    __slots__ = ("_known", "_limit", "_missed", "changes")

    def __init__(self, limit: int = 0) -> None:
        self._known: dict[str, Family] = {}
        self._limit = limit
        self._missed = False  # somebody asked for what was not known
        self.changes = 0

    def note(self, what: str, name: str, text: str) -> None:
        """One line of metadata."""
        family = self._known.get(name)
        if family is None:
            if self._limit and len(self._known) >= self._limit:
                self._known.clear()
            family = self._known[name] = Family(name, "")
            self.changes += self._missed
            self._missed = False
        if what == "TYPE":
            kind = "unknown" if text == "untyped" else text
            if kind != family.type:
                self.changes += family.type != "" or self._missed
                family.type = kind
        elif what == "HELP":
            family.help = text
        else:
            family.unit = text

    def find(self, sample: str) -> tuple[Family, str]:
        """The family that a sample of that name belongs to, and its suffix."""
        family = self._known.get(sample)
        if family is not None and family.type != "info":
            return family, ""
        for suffix in _ALL_SUFFIXES:
            if sample.endswith(suffix):
                base = self._known.get(sample[: -len(suffix)])
                if base is not None and suffix in SUFFIXES.get(base.type, ()):
                    return base, suffix
        if family is None or not family.type:
            self._missed = True
        return family or Family(sample), ""


def parse(lines: Iterable[str], openmetrics: bool, families: Families) -> Iterator[Sample]:
    """The samples, in order; metadata goes into `families`. Raises TextError.

    1.3 µs a line, with exemplars 2.6, where prometheus-client's parsers take 22 and 32.
    """
    unit = 1_000_000_000 if openmetrics else 1_000_000
    ended = False
    for line in lines:
        if len(line) > MAX_LINE or (ended and line):
            raise TextError("something follows # EOF" if ended else f"{len(line)} in one line")
        if line[:1] in " \t":
            line = line.strip()
            if not line:
                continue
        if line[0] == "#":
            ended = _comment(line, openmetrics, families)
            continue
        exemplar = None
        if openmetrics and " # {" in line and (found := _WITH_EXEMPLAR.fullmatch(line)):
            series, rest = found[1], found[2].split()
            exemplar = _exemplar(found[3], found[4], found[5])
        elif (end := line.rfind("}") + 1) > 0:
            series, rest = line[:end], line[end:].split()
        else:
            series, *rest = line.split()
        if not 1 <= len(rest) <= 2:
            raise TextError(f"not a sample: {line[:200]!r}")
        time = _time(rest[1], unit) if len(rest) == 2 else None
        yield series, _number(rest[0]), time, exemplar
    if openmetrics and not ended:
        raise TextError("cut off: # EOF is missing")


def parse_series(series: str) -> tuple[str, list[tuple[str, str]]]:
    """(name, labels) of a sample's text, in the order in which they stand; raises TextError."""
    name, brace, inside = series.partition("{")
    name = name.strip()
    labels: list[tuple[str, str]] = []
    if brace:
        if not inside.endswith("}"):
            _fail(series)
        inside = inside[:-1]
        if not name and (found := _QUOTED_NAME.match(inside)):
            name, inside = _unquote(found[1]), inside[found.end() :]
        elif not _NAME.fullmatch(name):
            _fail(series)
        labels = _labels(inside, series)
    elif not _NAME.fullmatch(name):
        _fail(series)
    if not name:
        _fail(series)
    return name, labels


def _labels(inside: str, series: str) -> list[tuple[str, str]]:
    labels: list[tuple[str, str]] = []
    inside, at = inside.rstrip(), 0
    while at < len(inside):
        found = _LABEL.match(inside, at)
        if found is None:
            _fail(series)
        key = found[1]
        labels.append((_unquote(key) if key[0] == '"' else key, _unquote(found[2])))
        at = found.end()
    if len({key for key, _ in labels}) != len(labels):
        raise TextError(f"a label stands twice in {series[:200]!r}")
    return labels


def _fail(series: str) -> NoReturn:
    raise TextError(f"not a series: {series[:200]!r}")


def _unquote(text: str) -> str:
    inside = text[1:-1]
    return _ESCAPE.sub(lambda m: _ESCAPES[m[0]], inside) if "\\" in inside else inside


def _comment(line: str, openmetrics: bool, families: Families) -> bool:
    """Whether it is the end."""
    words = line.split(None, 3)
    if len(words) < 3 or words[0] != "#":
        return openmetrics and line.rstrip() == "# EOF"
    what, name = words[1], words[2]
    text = words[3].rstrip() if len(words) == 4 else ""
    if what == "TYPE":
        if text not in TYPES:
            raise TextError(f"{text[:50]!r} is not a type of metric")
    elif what == "HELP":
        text = _ESCAPE.sub(lambda m: _ESCAPES[m[0]], text)
    elif what != "UNIT" or not openmetrics:
        return False
    families.note(what, _unquote(name) if name[0] == '"' else name, text)
    return False


def _exemplar(labels: str, value: str, time: str | None) -> Exemplar:
    when = _time(time, 1_000_000_000) if time else 0
    return _labels(labels[1:-1], labels), _number(value), when


def _number(text: str) -> float:
    try:
        if "_" not in text:  # float() reads 1_000
            return float(text)
    except ValueError:
        pass
    raise TextError(f"{text[:50]!r} is not a number")


def nanoseconds(seconds: float) -> int:
    """Whole seconds apart from their fraction: in one float they would be 200 ns off.

    Raises ValueError or OverflowError for what is no time.
    """
    whole = int(seconds)
    return whole * 1_000_000_000 + round((seconds - whole) * 1e9)


def _time(text: str, unit: int) -> int:
    try:
        if text.lstrip("-").isdigit():
            time = int(text) * unit
        else:
            time = nanoseconds(_number(text) * unit / 1_000_000_000)
    except (ValueError, OverflowError):
        raise TextError(f"{text[:50]!r} is not a time") from None
    if not 0 <= time < 1 << 63:
        raise TextError(f"{text[:50]!r} is not a time")
    return time
