"""Text that strangers wrote, made fit for a terminal. All text that is shown goes through here.

A span's name, a path, an attribute may hold escape sequences that move the cursor or set the
window's title, marks that turn the direction of what follows (Unicode bidi controls), line ends
that forge a line, or a megabyte.
"""

from __future__ import annotations

from unicodedata import category

_MARKS = 3  # combining marks on one letter: no script needs more, and a pile of them hides lines


def printable(text: str, limit: int) -> str:
    r"""`text` in one line of at most `limit` characters (1 or more), with "…" where it was cut.

    What is not printable (controls, format characters, line and paragraph separators, unassigned
    and lone surrogates, spaces that are no plain space) stands as its escape: \x1b, \u202e.
    """
    head = text[: limit + 1]
    if len(head) <= limit and head.isascii() and head.isprintable():
        return head
    pieces: list[str] = []
    size = marks = 0
    for letter in head:
        marks = marks + 1 if category(letter)[0] == "M" else 0
        is_fine = letter.isprintable() and marks <= _MARKS
        piece = letter if is_fine else ascii(letter)[1:-1]
        size += len(piece)
        pieces.append(piece)
        if size > limit:
            return _cut(pieces, size, limit)
    return "".join(pieces)


def _cut(pieces: list[str], size: int, limit: int) -> str:
    """Whole pieces and the sign that some are missing, together within `limit`."""
    while size > limit - 1:
        size -= len(pieces.pop())
    return "".join(pieces) + "…"
