"""Disk: what can be said of a path before anybody uses it, on the machine where it is checked.

Only what contradicts the configuration: a folder that is missing may be made until the start, and
who may write there is another user's matter.
"""

from __future__ import annotations

from pathlib import Path


def file_in_the_way(folder: str) -> str:
    """What is a file and should be a folder, of a path and those above it; "" if nothing is."""
    path = Path(folder)
    for place in (path, *path.parents) if folder else ():
        try:
            if place.exists():
                return "" if place.is_dir() else str(place)
        except OSError:  # for whoever starts it to find out
            return ""
    return ""
