"""The last reloads of one gateway: when each was, what came of it, what it changed in the file.

What is shown of files is what `config/written.py` shows. Knows nothing of how a reload is done.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from proxy.config.written import veiled

MOST = 20  # reloads
LINES = 2000  # compared of a file; the time for more grows with their square
LENGTH = 64 * 1024  # characters of a diff
CONTEXT = 3  # lines around a change

_HUNK = re.compile(r"^@@ -(\d+)((?:,\d+)?) \+(\d+)((?:,\d+)?) @@")


@dataclass(frozen=True, slots=True)
class Reloaded:
    """One of them. `generation` is the number that it had or would have had."""

    at: str  # RFC 3339
    generation: int
    ok: bool
    error: str
    diff: str


class ConfigHistory:
    """Those of one gateway, since it was started."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: deque[Reloaded] = deque(maxlen=MOST)

    def note(self, reloaded: Reloaded) -> None:
        self._kept.appendleft(reloaded)

    def view(self) -> list[dict[str, Any]]:
        """Newest first."""
        return [asdict(one) for one in self._kept]


def difference(before: str, after: str, unknown: Collection[str] = ()) -> str:
    """How the file has changed, as a unified diff without secrets and comments; "" if what is left
    has not changed, or cannot be read. `unknown` as for `veiled`."""
    if before == after:
        return ""
    old, new = veiled(before).splitlines(), veiled(after, unknown).splitlines()
    if not old or not new or old == new:
        return ""
    text = "".join(f"{line}\n" for line in _compared(old, new))
    cut = text[:LENGTH].rpartition("\n")[0] + "\n… and more\n"
    return text if len(text) <= LENGTH else cut


def _compared(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    """Only what lies between the first and the last line that differ is compared line by line."""
    first = _same(old, new)
    last = min(_same(old[::-1], new[::-1]), len(old) - first, len(new) - first)
    first, last = max(0, first - CONTEXT), max(0, last - CONTEXT)
    some, others = old[first : len(old) - last], new[first : len(new) - last]
    if len(some) > LINES or len(others) > LINES:
        yield f"@@ -{first + 1},{len(some)} +{first + 1},{len(others)} @@ too much to be compared"
        return
    from difflib import unified_diff  # 0.2 MB, and most files are never changed

    found = unified_diff(some, others, "before", "after", n=CONTEXT, lineterm="")
    for line in found:
        yield _HUNK.sub(lambda hunk: _moved(hunk, first), line)


def _same(old: Sequence[str], new: Sequence[str]) -> int:
    """With how many equal lines both begin."""
    pairs = enumerate(zip(old, new, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(old), len(new)))


def _moved(hunk: re.Match[str], by: int) -> str:
    return f"@@ -{int(hunk[1]) + by}{hunk[2]} +{int(hunk[3]) + by}{hunk[4]} @@"
