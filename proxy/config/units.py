"""Values with units, as people write them: durations ("250ms", "2s", "1m", "2h"), sizes
("64KiB", "8MB") and shares (0 to 1).

Numbers without a unit are refused for durations and sizes, because nobody remembers which
program counts in milliseconds. Sizes: KB = 1000, KiB = 1024 (IEC 80000-13).
"""

from __future__ import annotations

import math
import re

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_DURATION_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|KiB|MB|MiB|GB|GiB)", re.IGNORECASE)
_SIZE_UNITS = {
    "b": 1,
    "kb": 1000,
    "kib": 1024,
    "mb": 1000**2,
    "mib": 1024**2,
    "gb": 1000**3,
    "gib": 1024**3,
}


class Seconds(float):
    """A duration in seconds, written "2s" or "1m30s" in the file; 0 means no limit."""

    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> Seconds:
        if isinstance(raw, int | float) and not isinstance(raw, bool) and raw == 0:
            return cls(0)
        if isinstance(raw, int | float) and not isinstance(raw, bool):
            raise ValueError(f'a duration needs a unit: write "{raw}s" or "{raw}ms"')
        text = raw.replace(" ", "") if isinstance(raw, str) else ""
        parts = _DURATION.findall(text)
        seconds = sum(float(n) * _DURATION_UNITS[u] for n, u in parts)
        if not parts or "".join(n + u for n, u in parts) != text or not math.isfinite(seconds):
            raise ValueError(f'{raw!r} is not a duration: write "500ms", "2s", "1m30s" or "2h"')
        return cls(seconds)


class Size(int):
    """A number of bytes, written "64KiB" in the file; 0 means no limit."""

    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> Size:
        if isinstance(raw, int) and not isinstance(raw, bool) and raw == 0:
            return cls(0)
        match = _SIZE.fullmatch(raw.strip()) if isinstance(raw, str) else None
        number = float(match[1]) * _SIZE_UNITS[match[2].lower()] if match else math.inf
        if not math.isfinite(number):
            raise ValueError(f'{raw!r} is not a size: write "64KiB", "20MB" or 0 for no limit')
        return cls(int(number))


class Share(float):
    """A part of the whole, 0 to 1."""

    __slots__ = ()

    @classmethod
    def parse(cls, raw: object) -> Share:
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            raise ValueError(f"{raw!r} is not a share: write a number from 0 to 1, such as 0.1")
        if not 0 <= raw <= 1:
            hint = f", did you mean {raw / 100:g}?" if 1 < raw <= 100 else ""
            raise ValueError(f"{raw:g} is not a share from 0 to 1{hint}")
        return cls(raw)


def seconds_text(seconds: float) -> str:
    """A duration as `Seconds.parse` reads it: "1m30s", "250ms", "0s"."""
    micros = round(seconds * 1e6)
    text = ""
    for unit, size in (("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1000)):
        count, micros = divmod(micros, size)
        text += f"{count}{unit}" if count else ""
    text += f"{micros}us" if micros else ""
    return text or "0s"


def size_text(size: int) -> str:
    """A number of bytes as `Size.parse` reads it: "64KiB", "1500B", "0B"."""
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"
