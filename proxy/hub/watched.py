"""Files that are looked at until they change: what they were, and whether they keep still.

Looking at them works wherever they lie: with editors that put a new file in the place of the old
one, with symbolic links that are turned to another folder (as Kubernetes does with its ConfigMaps
and Secrets), and on network file systems.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable

from proxy.config.load import STDIN, Loaded
from proxy.hub.parts import Reloading
from proxy.hub.settled import Marks, mark

EVERY = 1.0  # seconds between two looks

_REFERENCE = re.compile(rb"\$\{file:([^}\n]*)\}")  # as in config/expand.py


class Looks:
    """Looks at some files, one after the other."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: Marks | None = None

    def still(self, now: Marks) -> bool:
        """Whether they are as they were at the last look."""
        same, self._last = now == self._last, now
        return same


class ConfigWatch:
    """`watch = true`: a configuration that has changed, and keeps still, is read.

    What is compared with is how the files were when they were last read, whoever asked for that;
    so a file that cannot be used is read once, and again when it has changed. Pages for failures
    are compared with those in force.
    """

    def __init__(self, hub: Reloading) -> None:
        self._hub = hub
        self._looks = Looks()
        self._loaded: Loaded | None = None  # whose pages those are
        self._pages: Marks = {}  # as they were when they were last compared

    async def watch(self) -> None:
        """For as long as the gateway runs; while `watch` is false nothing is looked at."""
        while True:
            await asyncio.sleep(EVERY)
            if self._hub.loaded.config.watch:
                await self.look()

    async def look(self) -> None:
        """Ask for a reload if it is time for one, and wait for its end."""
        loaded = self._hub.loaded
        now, pages = await asyncio.to_thread(_both, loaded)
        if not self._looks.still(now | pages):
            return
        changed = now != self._hub.reloads.seen
        if loaded is not self._loaded or pages != self._pages:
            self._loaded, self._pages = loaded, pages
            changed = await asyncio.to_thread(_pages_differ, loaded) or changed
        if changed:
            await self._hub.reloader.ask()


def _both(loaded: Loaded) -> tuple[Marks, Marks]:
    """Of the configuration, and of the pages for failures."""
    pages = marks(loaded.material.pages, os.path.dirname(loaded.file))
    return config_marks(loaded.file), pages


def _pages_differ(loaded: Loaded) -> bool:
    """Whether a page is not what is in force; one that cannot be read is not."""
    folder = os.path.dirname(loaded.file)
    for name, content in loaded.material.pages.items():
        place = os.path.join(folder, name)
        try:
            if not os.path.isfile(place):
                return True
            with open(place, "rb") as file:
                if file.read(len(content) + 1) != content:
                    return True
        except OSError:
            return True
    return False


def marks(names: Iterable[str], folder: str = "") -> Marks:
    """Of each file; relative names are those in `folder`."""
    return {name: mark(os.path.join(folder, name)) for name in names}


def config_marks(file: str) -> Marks:
    """Of a configuration and of the files that it refers to by `${file:…}`."""
    if file in ("-", STDIN) or (not os.path.isfile(file) and os.path.exists(file)):
        return {}  # a pipe is read once, and by whom it is for
    file = os.path.abspath(file)  # as the hub knows it, however it was called
    found = marks([file])
    try:
        with open(file, "rb") as opened:
            names = {os.fsdecode(name) for name in _REFERENCE.findall(opened.read())}
    except (OSError, ValueError):
        return found
    return found | marks(sorted(names), os.path.dirname(file))
