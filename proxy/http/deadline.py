"""`X-Request-Deadline`: how long whoever asks still waits for the answer.

Written as what is left, in seconds with three decimals ("0.250"), since clocks of hosts differ;
read as that, or as a Unix time in seconds, which has ten digits. The choice and its reasons:
docs/decisions/0152-deadlines-travel-as-what-is-left.md. No I/O and no clock.
"""

from __future__ import annotations

import re

NAME = b"x-request-deadline"
MALFORMED = "spangate.deadline.malformed"  # of the SERVER span: the value that could not be read

_VALUE = re.compile(rb"(-?)([0-9]{1,10})(?:\.([0-9]{1,9}))?")
_UNIX = 10**9  # seconds from which on it is a point in time: 2001; as a span it would be 31 years


def parse(value: bytes, wall_ns: int) -> int | None:
    """The ns that are left at `wall_ns` (Unix time in ns); 0 = it is over, None = malformed."""
    found = _VALUE.fullmatch(value)
    if found is None:
        return None
    sign, seconds, fraction = found.groups()
    ns = int(seconds) * 10**9 + int((fraction or b"").ljust(9, b"0"))
    if sign:
        return 0
    if ns >= _UNIX * 10**9:
        ns -= wall_ns
    return max(ns, 0)


def left(ns: int) -> bytes:
    """So many ns, rounded down to ms, and at least one: what is over is not asked for."""
    ms = max(ns // 1_000_000, 1)
    return b"%d.%03d" % divmod(ms, 1000)
