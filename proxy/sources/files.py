"""Further files of routes and upstreams, watched: `[source.file] path = "conf.d/*.toml"`.

They are looked at once a second, in a thread, and read when they have kept still for as long. A
file that cannot be used stays as it was, and the others go on.
"""

from __future__ import annotations

import asyncio
import glob
import hashlib
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from proxy.config.locate import Lines, locate
from proxy.config.regular import open_regular
from proxy.config.report import Report
from proxy.config.shorthand import as_lists
from proxy.config.source_model import FileSource
from proxy.sources.source import About, Given, Hears
from proxy.sources.units import Unit, Units

EVERY = 1.0  # seconds between two looks
LARGEST = 64 << 20  # bytes of a file
KEYS = {"route", "upstream"}

Stamp = tuple[int, int, int, int]
Found = tuple[str, Unit | str, object]  # place; or why it is none; what tells it from others
Texts = dict[str, str | None]  # by name; None = it cannot be read


def make(settings: FileSource, about: About) -> Files:
    """See making."""
    return Files(settings.path, about.folder)


class Files:
    """Those of one pattern."""

    def __init__(self, pattern: str, folder: str, every: float = EVERY) -> None:
        self._pattern = os.path.join(folder, pattern)
        self._folder = folder
        self._every = every
        self._units = Units()
        self._hears: Hears | None = None
        self._version = ""

    async def watch(self, hears: Hears) -> None:
        """See Source."""
        self._hears = hears
        seen: dict[str, Stamp] | None = None
        last: dict[str, Stamp] | None = None
        while True:
            try:
                now = await asyncio.to_thread(stamps, self._pattern)
                if now != seen and (now == last or seen is None):
                    found = await asyncio.to_thread(_read, now, self._folder)
                    self._put(*found)
                    seen = now
                    hears.given(self._units.given(self._version))
                else:
                    hears.heard()
                last = now
            except OSError as error:
                hears.failed(f"{error.filename}: {error.strerror or error}")
            await asyncio.sleep(self._every)

    def settled(self, given: Given, reasons: Any) -> bool:
        """See Source."""
        worse = self._units.settled(given, reasons)
        if (worse or self._units.is_due) and self._hears is not None:
            self._hears.given(self._units.given(self._version))
        return worse

    def _put(self, version: str, found: Sequence[Found]) -> None:
        self._units.keep(place for place, _, _ in found)
        for place, unit, value in found:
            if isinstance(unit, Unit):
                self._units.put(place, unit)
            else:
                self._units.wrong(place, unit, value)
        self._version = version


def once(pattern: str, folder: str) -> Given:
    """What the files say now."""
    files = Files(pattern, folder)
    files._put(*_read(stamps(os.path.join(folder, pattern)), folder))
    return files._units.given(files._version)


def _read(names: Mapping[str, Stamp], folder: str) -> tuple[str, list[Found]]:
    """The version of all of them, and what stands in each."""
    digest = hashlib.sha256()
    found: list[Found] = []
    for name in sorted(names):
        place = os.path.relpath(name, folder)
        try:
            with open_regular(name) as file:
                data = file.read(LARGEST + 1)
            digest.update(f"{place}\0{len(data)}\0".encode() + data)
            found.append((place, unit_of(data, place), None))
        except OSError as error:
            found.append((place, f"it cannot be read: {error.strerror or error}", None))
        except (ValueError, RecursionError) as error:
            found.append((place, " ".join(str(error).split()), hash(data)))
    return digest.hexdigest()[:16], found


def stamps(pattern: str) -> dict[str, Stamp]:
    """The files that there are, as they are."""
    found = {}
    for name in glob.glob(pattern):
        if os.path.isfile(name):
            status = os.stat(name)
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev)
            found[name] = stamp
    return found


def unit_of(data: bytes, place: str) -> Unit:
    """What a file says: TOML, or JSON where its name says so. ValueError."""
    if len(data) > LARGEST:
        raise ValueError(f"it is longer than {LARGEST} bytes")
    text = data.decode("utf-8-sig")
    is_json = place.endswith(".json")
    raw = json.loads(text) if is_json else tomllib.loads(text)
    if not isinstance(raw, dict):
        raise ValueError("it is no table")
    if others := raw.keys() - KEYS:
        names = ", ".join(f"`{name}`" for name in sorted(others))
        raise ValueError(f"it has {names}: only [[route]] and [upstream.NAME] may stand here")
    report = Report(place, Lines() if is_json else locate(text))
    as_lists(raw, report)
    routes, upstreams = raw.get("route", []), raw.get("upstream", {})
    if not isinstance(routes, list) or not all(isinstance(route, dict) for route in routes):
        raise ValueError("`route` is a list of tables: write [[route]]")
    if not isinstance(upstreams, dict):
        raise ValueError("`upstream` is a table: write [upstream.NAME]")
    named = {name: _table(upstream) for name, upstream in upstreams.items()}
    return Unit(routes, named, _places(raw, report))


def _table(upstream: Any) -> Mapping[str, Any]:
    """An upstream may be a server, or several."""
    return upstream if isinstance(upstream, dict) else {"servers": upstream}


def _places(raw: Mapping[str, Any], report: Report) -> dict[tuple[str | int, ...], str]:
    found: dict[tuple[str | int, ...], str] = {}
    tables = {("route", i): route for i, route in enumerate(raw.get("route", ()))}
    tables |= {("upstream", name): one for name, one in raw.get("upstream", {}).items()}
    for path, table in tables.items():
        for key in [(), *((key,) for key in table)] if isinstance(table, dict) else [()]:
            if line := report.lines.near((*path, *key)):
                found[(*path, *key)] = f"{report.file}:{line}"
    return found
