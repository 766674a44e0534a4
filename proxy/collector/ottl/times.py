"""Converters of times and durations. A time is nanoseconds since 1970, shown in UTC."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from proxy.collector.expression.tokens import ExpressionError
from proxy.collector.ottl.arguments import Arguments, Function, function, plain
from proxy.collector.ottl.texts import string, whole
from proxy.collector.ottl.values import Duration, OttlError, Time, Value, kind

_SECOND = 1_000_000_000
_UNITS = {
    "ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 1_000_000, "s": _SECOND,
    "m": 60 * _SECOND, "h": 3600 * _SECOND,
}  # fmt: skip
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def duration_of(value: Value) -> Duration:
    """As Go's ParseDuration: "1h30m", "-1.5s"."""
    written = string(value, "duration")
    body = written.lstrip("+-")
    parts = _PART.findall(body) if len(written) <= 64 else []
    if written == "0":
        return Duration(0)
    if not parts or "".join(n + u for n, u in parts) != body or len(written) - len(body) > 1:
        raise OttlError(f'{written[:40]!r} is no duration: write "1h30m" or "250ms"')
    total = sum(round(float(n) * _UNITS[u]) for n, u in parts)
    return Duration(-total if written.startswith("-") else total)


def _time(value: Value, what: str = "time") -> Time:
    if not isinstance(value, Time):
        raise OttlError(f"{what} must be a time, not {kind(value)}")
    return value


def _span(value: Value, what: str = "duration") -> Duration:
    if not isinstance(value, Duration):
        raise OttlError(f"{what} must be a duration, not {kind(value)}: write Duration(…)")
    return value


def _truncate(moment: Value, duration: Value) -> Value:
    size, at = _span(duration).ns, _time(moment)
    # Go counts from the year 1.
    year_one = -62_135_596_800 * _SECOND
    return Time(at.ns - (at.ns - year_one) % size) if size > 0 else at


def _as_datetime(value: Value) -> datetime:
    try:
        return _EPOCH + timedelta(microseconds=_time(value).ns // 1000)
    except OverflowError:
        raise OttlError("a time beyond the year 9999") from None


def _since_epoch(unit: int) -> Function:
    return plain("value", lambda value: _time(value).ns // unit)


def _length(unit: int) -> Function:
    return plain("value", lambda value: _span(value).ns / unit)


def _whole_length(unit: int) -> Function:
    def count(value: Value) -> Value:
        ns = _span(value).ns
        return ns // unit if ns >= 0 else -(-ns // unit)

    return plain("value", count)


def _part(read: Callable[[datetime], int]) -> Function:
    return plain("value", lambda value: read(_as_datetime(value)))


def _unix(seconds: Value, nanoseconds: Value = 0) -> Value:
    return Time(whole(seconds, "seconds") * _SECOND + whole(nanoseconds, "nanoseconds"))


_MONTHS = "January February March April May June July August September October November December"
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
_WIDE = {
    "D": "%m/%d/%y", "x": "%m/%d/%y", "F": "%Y-%m-%d", "T": "%H:%M:%S", "X": "%H:%M:%S",
    "r": "%I:%M:%S %p", "R": "%H:%M", "c": "%a %b %d %H:%M:%S %Y",
}  # fmt: skip
_OFFSET = r"[+-]\d\d:?\d\d(?::?\d\d)?|[+-]\d\d|Z"
_NUMBER = r"\d{1,2}"
# Directive -> what it looks like; names are those of `_Found`.
_LOOKS = {
    "Y": r"\d{4}", "y": r"\d\d", "m": _NUMBER, "o": r" ?\d{1,2}", "q": _NUMBER,
    "b": "[A-Za-z]{3}", "h": "[A-Za-z]{3}", "B": "[A-Za-z]+", "d": _NUMBER, "e": r" ?\d{1,2}",
    "g": _NUMBER, "a": "[A-Za-z]{3}", "A": "[A-Za-z]+", "H": _NUMBER, "I": _NUMBER,
    "l": r" ?\d{1,2}", "p": "[AaPp][Mm]", "P": "[AaPp][Mm]", "M": _NUMBER, "S": _NUMBER,
    "L": r"\d{1,3}", "f": r"\d{1,6}", "s": r"\d{1,9}", "z": _OFFSET, "Z": "[A-Za-z]{2,5}|Z",
    "i": _OFFSET, "j": _OFFSET, "k": _OFFSET, "w": _OFFSET,
}  # fmt: skip
_SAME = {
    "o": "m", "q": "m", "h": "b", "e": "d", "g": "d", "l": "I", "P": "p",
    "i": "z", "j": "z", "k": "z", "w": "z",
}  # fmt: skip
_DIRECTIVE = re.compile(r"%(.)", re.DOTALL)


def _long(layout: str) -> str:
    """With the short forms written out."""
    return _DIRECTIVE.sub(lambda m: _WIDE.get(m[1], m[0]), layout)


def reader(layout: str) -> Callable[[str, tzinfo], Time]:
    """Reads what `layout` describes; raises ValueError for a layout that is none."""
    if "%" not in layout:
        raise ValueError('a format has directives: write "%Y-%m-%d %H:%M:%S"')
    looks, end = "", 0
    for found in _DIRECTIVE.finditer(_long(layout)):
        looks += re.escape(_long(layout)[end : found.start()])
        end = found.end()
        looks += _look(found[1])
    compiled = re.compile(looks + re.escape(_long(layout)[end:]))

    def read(written: str, zone: tzinfo) -> Time:
        match = compiled.fullmatch(written[:256])
        if match is None:
            raise OttlError(f"{written[:60]!r} is not of the format {layout!r}")
        return _assembled(match.groupdict(), zone)

    return read


def _look(letter: str) -> str:
    if letter in "%nt":
        return {"%": "%", "n": "\n", "t": "\t"}[letter]
    if letter not in _LOOKS:
        raise ValueError(f"%{letter} is no directive of a time")
    return f"(?P<{_SAME.get(letter, letter)}>{_LOOKS[letter]})"


def _assembled(found: dict[str, Any], zone: tzinfo) -> Time:
    try:
        day = datetime(_year(found), _month(found), int(found.get("d") or 1), tzinfo=zone)
        moment = day.replace(
            hour=_hour(found), minute=_part_of(found, "M"), second=_part_of(found, "S")
        )
        if found.get("z") or found.get("Z"):
            moment = moment.replace(tzinfo=_offset(found.get("z") or "Z"))
        seconds = moment - _EPOCH
    except (ValueError, OverflowError) as error:
        raise OttlError(f"no such time: {error}") from None
    fraction = str(found.get("s") or found.get("f") or found.get("L") or "")
    whole_seconds = seconds.days * 86_400 + seconds.seconds
    return Time(whole_seconds * _SECOND + int((fraction or "0").ljust(9, "0")))


def _year(found: dict[str, Any]) -> int:
    if found.get("Y"):
        return int(found["Y"])
    if not found.get("y"):
        return 1970
    short = int(found["y"])
    return short + (1900 if short >= 69 else 2000)


def _month(found: dict[str, Any]) -> int:
    if found.get("m"):
        return int(found["m"])
    named = found.get("B") or found.get("b")
    if not named:
        return 1
    names = [name[:3].lower() for name in _MONTHS.split()]
    return names.index(str(named)[:3].lower()) + 1


def _part_of(found: dict[str, Any], letter: str) -> int:
    return int(found.get(letter) or 0)


def _hour(found: dict[str, Any]) -> int:
    if not found.get("I"):
        return int(found.get("H") or 0)
    late = str(found.get("p") or "").lower() == "pm"
    return int(found["I"]) % 12 + (12 if late else 0)


def _offset(written: str) -> tzinfo:
    if written == "Z":
        return UTC
    digits = written[1:].replace(":", "").ljust(6, "0")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4]), seconds=int(digits[4:6]))
    return timezone(-size if written[0] == "-" else size)


def writer(layout: str) -> Callable[[Time], str]:
    """The other way round."""
    for letter in _DIRECTIVE.findall(_long(layout)):
        _look(letter)

    def write(moment: Time) -> str:
        at = _as_datetime(moment)
        return _DIRECTIVE.sub(lambda m: _written(m[1], at, moment.ns % _SECOND), _long(layout))

    return write


def _written(letter: str, at: datetime, ns: int) -> str:
    month, day = _MONTHS.split()[at.month - 1], _DAYS.split()[at.weekday()]
    twelve = (at.hour + 11) % 12 + 1
    shown = {
        "Y": f"{at.year:04}", "y": f"{at.year % 100:02}", "m": f"{at.month:02}",
        "o": f"{at.month:2}", "q": f"{at.month}", "b": month[:3], "h": month[:3], "B": month,
        "d": f"{at.day:02}", "e": f"{at.day:2}", "g": f"{at.day}", "a": day[:3], "A": day,
        "H": f"{at.hour:02}", "I": f"{twelve:02}", "l": f"{twelve:2}",
        "p": "PM" if at.hour >= 12 else "AM", "P": "pm" if at.hour >= 12 else "am",
        "M": f"{at.minute:02}", "S": f"{at.second:02}", "L": f"{ns // 1_000_000:03}",
        "f": f"{ns // 1000:06}", "s": f"{ns:09}", "z": "+0000", "Z": "UTC", "i": "+00",
        "j": "+00:00", "k": "+00:00:00", "w": "+000000", "n": "\n", "t": "\t", "%": "%",
    }  # fmt: skip
    return shown[letter]


def _make_time(arguments: Arguments) -> Any:
    target = arguments.getter("target")
    read = _checked(arguments, reader)
    zone = _zone(arguments)
    if arguments.literal("locale", str, "en").partition("-")[0] not in ("", "en"):
        raise ExpressionError(
            "only English names are known", arguments.at("locale"), "leave it out"
        )
    return lambda view: read(string(target(view), "target"), zone)


def _checked(arguments: Arguments, build: Callable[[str], Any]) -> Any:
    try:
        return build(arguments.literal("format", str))
    except ValueError as error:
        raise ExpressionError(str(error), arguments.at("format")) from None


def _zone(arguments: Arguments) -> tzinfo:
    name = arguments.literal("location", str, "")
    try:
        return ZoneInfo(name) if name else UTC
    except (OSError, ValueError, KeyError):
        remedy = 'such as "America/New_York"'
        raise ExpressionError(f"{name!r} is no zone", arguments.at("location"), remedy) from None


def _make_format(arguments: Arguments) -> Any:
    moment = arguments.getter("time")
    write = _checked(arguments, writer)
    return lambda view: write(_time(moment(view)))


def _make_now(arguments: Arguments) -> Any:
    return lambda view: Time(time.time_ns())


TIMES: dict[str, Function] = {
    "Now": function("", _make_now),
    "Time": function("target format [location] [locale]", _make_time),
    "FormatTime": function("time format", _make_format),
    "TruncateTime": plain("time duration", _truncate),
    "Duration": plain("duration", duration_of),
    "Unix": plain("seconds [nanoseconds]", _unix),
    "UnixNano": _since_epoch(1),
    "UnixMicro": _since_epoch(1000),
    "UnixMilli": _since_epoch(1_000_000),
    "UnixSeconds": _since_epoch(_SECOND),
    "Hours": _length(3600 * _SECOND),
    "Minutes": _length(60 * _SECOND),
    "Seconds": _length(_SECOND),
    "Milliseconds": _whole_length(1_000_000),
    "Microseconds": _whole_length(1000),
    "Nanoseconds": _whole_length(1),
    "Year": _part(lambda at: at.year),
    "Month": _part(lambda at: at.month),
    "Day": _part(lambda at: at.day),
    "Hour": _part(lambda at: at.hour),
    "Minute": _part(lambda at: at.minute),
    "Second": _part(lambda at: at.second),
    "Weekday": _part(lambda at: at.isoweekday() % 7),
    "Nanosecond": plain("value", lambda value: _time(value).ns % _SECOND),
}
