"""How the lists of words are written: names on lines of their own, the hint indented below them."""

from __future__ import annotations


def read(text: str) -> dict[str, str]:
    """Name -> hint."""
    found: dict[str, str] = {}
    names: list[str] = []
    hint: list[str] = []
    for line in [*text.splitlines(), "end"]:
        if line.startswith(" "):
            hint.append(line.strip())
            continue
        if hint:
            found.update(dict.fromkeys(names, " ".join(hint)))
            names, hint = [], []
        names += line.split()
    return found
