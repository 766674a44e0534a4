"""Numbers as people read them: times, rates, counts, and a row of small bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

_BARS = "▁▂▃▄▅▆▇█"
_LAST = 253402300799  # the end of the year 9999, Unix seconds


def duration(milliseconds: float | None) -> str:
    """ "850 µs", "12.3 ms", "1.20 s", and "-" where there is none."""
    if milliseconds is None:
        return "-"
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds:.1f} ms" if milliseconds >= 1 else f"{milliseconds * 1000:.0f} µs"


def rate(per_second: float | None) -> str:
    if per_second is None:
        return "-"
    return f"{per_second:.0f}" if per_second >= 100 else f"{per_second:.1f}"


def share(part: float | None, whole: float | None) -> str:
    """Per cent, "" where there is nothing to have a share of."""
    if not part or not whole:
        return ""
    return f"{100 * part / whole:.1f} %"


def clock(unix_ms: float | None) -> str:
    """The time of day here, to the millisecond."""
    if unix_ms is None or not 0 <= unix_ms / 1000 <= _LAST:
        return "-"
    return datetime.fromtimestamp(unix_ms / 1000).isoformat(timespec="milliseconds")[11:]


def since(seconds: float) -> str:
    """An age in its largest unit: "45 s", "12 min", "3.5 h", "4.0 d"."""
    for unit, size in (("d", 86400.0), ("h", 3600.0)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds // 60:.0f} min" if seconds >= 60 else f"{max(seconds, 0):.0f} s"


def plural(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def sparkline(values: Sequence[float], width: int) -> str:
    """The last `width` of the values, as heights below their greatest."""
    last = [value if math.isfinite(value) and value > 0 else 0.0 for value in values[-width:]]
    greatest = max(last, default=0.0)
    if not greatest:
        return _BARS[0] * len(last)
    return "".join(_BARS[min(7, int(value / greatest * 7.999))] for value in last)


def colour_of(status: int, *, failed: bool = False) -> str:
    """The style of an HTTP status by its class; the number is always there besides."""
    if failed or status >= 500:
        return "bold red"
    return {4: "yellow", 3: "cyan", 2: "green"}.get(status // 100, "")
