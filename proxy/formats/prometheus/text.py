"""The text that Prometheus scrapes, read: format 0.0.4 and OpenMetrics 1.0.

One line at a time and nothing kept but metadata: what a series is, is looked at once by whoever
remembers series by their text (`parse_series`), since a target says the same names at each scrape.
What Prometheus refuses a page for is a TextError; what it leaves out, as an exemplar with a label
twice, is left out and counted. Knows nothing of OTLP, targets and limits.

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
_EXEMPLARY = ("_total", "_bucket")
_ALL_SUFFIXES = ("_bucket", "_count", "_sum", "_created", "_gcount", "_gsum", "_total", "_info")

MAX_LINE = 1024 * 1024  # a sample of more is left out: reading one takes up to 5 ms

_NEVER = -1
_QUOTED = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_BRACES = rf'\{{[^"}}]*(?:{_QUOTED}[^"}}]*)*\}}'
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


class TwiceError(TextError):
    """A label stands twice."""


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

    `changes` grows when a name that was asked for may have another answer now, `left_out` with
    each sample or exemplar that is none.
    """

    __slots__ = ("_known", "_limit", "_missed", "changes", "left_out")

    def __init__(self, limit: int = 0) -> None:
        self._known: dict[str, Family] = {}
        self._limit = limit
        self._missed = False  # somebody asked for what was not known
        self.changes = 0
        self.left_out = 0

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
        if ended:
            raise TextError("something follows # EOF")
        if line[:1] in " \t":
            line = _stripped(line, openmetrics)
            if not line:
                continue
        if line[0] == "#" or len(line) > MAX_LINE:
            ended = _aside(line, openmetrics, families)
            continue
        exemplar = None
        if openmetrics and " # {" in line and (found := _WITH_EXEMPLAR.fullmatch(line)):
            series, values = found[1], f" {found[2]}"
            exemplar = _exemplar(found, families)
        else:
            end = line.rfind("}") + 1 or len(line.split(None, 1)[0])
            series, values = line[:end], line[end:]
        rest = values.split()
        if not _is_spaced(values, rest, openmetrics):
            raise TextError(f"not a sample: {line[:200]!r}")
        time = _time(rest[1], unit) if len(rest) == 2 else None
        if time == _NEVER:
            families.left_out += 1
            continue
        yield series, _number(rest[0]), time, exemplar
    if openmetrics and not ended:
        raise TextError("cut off: # EOF is missing")


def _stripped(line: str, openmetrics: bool) -> str:
    if openmetrics and not line:
        raise TextError("a line is empty")
    return line.strip()


def _is_spaced(values: str, rest: list[str], openmetrics: bool) -> bool:
    """One or two, and divided as the format has it: OpenMetrics wants single blanks."""
    if not 1 <= len(rest) <= 2 or values[-1] == "\r":
        return False
    return not openmetrics or values == f" {' '.join(rest)}"


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
    said = [key for key, value in labels if value]  # an empty label is none
    if len(set(said)) != len(said):
        raise TwiceError(f"a label stands twice in {series[:200]!r}")
    return labels


def _fail(series: str) -> NoReturn:
    raise TextError(f"not a series: {series[:200]!r}")


def _unquote(text: str) -> str:
    inside = text[1:-1]
    return _ESCAPE.sub(lambda m: _ESCAPES[m[0]], inside) if "\\" in inside else inside


def _aside(line: str, openmetrics: bool, families: Families) -> bool:
    """A comment, or a sample that is too long; whether it is the end."""
    if line[0] != "#":
        families.left_out += 1
        return False
    words = line.split(None, 3)
    what = words[1] if len(words) > 1 and words[0] == "#" else ""
    if openmetrics and line == "# EOF":
        return True
    if len(words) < 3 or what not in ("TYPE", "HELP", "UNIT") or len(line) > MAX_LINE:
        if openmetrics and what not in ("TYPE", "HELP", "UNIT"):
            raise TextError(f"a comment that OpenMetrics does not have: {line[:200]!r}")
        if what == "TYPE":
            raise TextError(f"a type is missing: {line[:200]!r}")
        return False
    name = words[2] if words[2][0] != '"' else _unquote(words[2])
    text = words[3].rstrip(" \t") if len(words) == 4 else ""
    if what != "UNIT" or openmetrics:
        families.note(what, name, _checked(what, name, text))
    return False


def _checked(what: str, name: str, text: str) -> str:
    if what == "TYPE" and text not in TYPES:
        raise TextError(f"{text[:50]!r} is not a type of metric")
    if what == "UNIT" and text and not name.endswith(f"_{text}"):
        raise TextError(f"{name[:200]!r} does not end in its unit {text[:50]!r}")
    return _ESCAPE.sub(lambda m: _ESCAPES[m[0]], text) if what == "HELP" else text


def _exemplar(found: re.Match[str], families: Families) -> Exemplar | None:
    """None, and counted, for one that says a label twice."""
    series, _, labels, value, time = found.groups()
    if not series.partition("{")[0].endswith(_EXEMPLARY):
        raise TextError(f"{series[:200]!r} has an exemplar, but is neither a counter nor a bucket")
    number, when = _number(value), _time(time, 1_000_000_000) if time else 0
    try:
        if when == _NEVER:
            raise TwiceError
        return _labels(labels[1:-1], labels), number, when
    except TwiceError:
        families.left_out += 1
        return None


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
    """Of seconds, which may have a fraction, or of milliseconds, which may not.

    _NEVER for seconds that OTLP cannot say; Prometheus leaves out a sample of such, too.
    """
    try:
        if text.lstrip("-").isdigit():
            time = int(text) * unit
        elif unit == 1_000_000_000:
            time = nanoseconds(_number(text))
        else:
            raise ValueError
    except (ValueError, OverflowError):
        raise TextError(f"{text[:50]!r} is not a time") from None
    if 0 <= time < 1 << 63:
        return time
    if unit == 1_000_000_000:
        return _NEVER
    raise TextError(f"{text[:50]!r} is not a time")
