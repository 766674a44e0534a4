"""Targets: which URLs a job scrapes and which labels they have, from the settings and from files.

Files are looked at by name, time and size, and read when one of these changes. A file that cannot
be used keeps the targets that it had, for a half-written file must not end a scrape.
"""

from __future__ import annotations

import glob
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import msgspec

from proxy.collector.receivers.prometheus.relabel import relabelling
from proxy.collector.receivers.prometheus.settings import Group, Scrape

MAX_FILE = 16 * 1024 * 1024
MAX_TARGETS = 10_000  # of one job


class _Toml(msgspec.Struct, forbid_unknown_fields=True):
    """A TOML file of targets has the same tables as the settings."""

    static_configs: list[Group] = msgspec.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Place:
    """One target: where it is, and the labels of its series, with job and instance."""

    url: str
    labels: tuple[tuple[str, str], ...]

    def attributes(self) -> tuple[tuple[str, str | int], ...]:
        """Resource attributes that the specification asks for."""
        parts = urlsplit(self.url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
        return (
            ("server.address", parts.hostname or ""),
            ("server.port", port),
            ("url.scheme", parts.scheme),
        )


def places(job: Scrape, groups: Iterable[Group]) -> dict[Place, None]:
    """The targets of `groups` after relabelling, in order, each once; what is no address is left
    out."""
    relabel = relabelling(job.relabel_configs)
    found: dict[Place, None] = {}
    for labels in _discovered(job, groups):
        kept = relabel(labels) if relabel is not None else labels
        place = _place(job, kept) if kept is not None else None
        if place is not None and len(found) < MAX_TARGETS:
            found[place] = None
    return found


def _discovered(job: Scrape, groups: Iterable[Group]) -> Iterator[dict[str, str]]:
    for group in groups:
        for address in group.targets:
            yield {
                "__address__": address,
                "__scheme__": job.scheme,
                "__metrics_path__": job.metrics_path,
                **{f"__param_{key}": values[0] for key, values in job.params.items() if values},
                "job": job.job_name,
                **group.labels,
            }


def _place(job: Scrape, labels: dict[str, str]) -> Place | None:
    address = labels.get("__address__", "")
    params = {key: list(values) for key, values in job.params.items() if values}
    for label, value in labels.items():
        if label.startswith("__param_"):  # stands for the first value
            key = label.removeprefix("__param_")
            params[key] = [value, *params.get(key, [])[1:]]
    query = f"?{urlencode(params, doseq=True)}" if params else ""
    path = labels.get("__metrics_path__", "/metrics")
    url = f"{labels.get('__scheme__', 'http')}://{address}{path}{query}"
    if not _is_usable(url, address):
        return None
    shown = {key: value for key, value in labels.items() if value and not key.startswith("__")}
    shown.setdefault("instance", address)
    return Place(url, tuple(sorted(shown.items())))


def _is_usable(url: str, address: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    known = parts.scheme in ("http", "https")
    return bool(known and host and not set(address) & set("/?#@ \t\r\n"))


class TargetFiles:
    """The files of one file_sd_config."""

    __slots__ = ("_groups", "_patterns", "_seen", "_warn")

    def __init__(self, patterns: Iterable[str], warn: Callable[[str], None]) -> None:
        self._patterns = tuple(patterns)
        self._warn = warn
        self._seen: dict[str, tuple[int, int]] = {}  # path -> mtime, size
        self._groups: dict[str, list[Group]] = {}

    def read(self) -> bool:
        """Look again; whether anything has changed. Blocks for as long as files take."""
        there = dict(self._stats())
        changed = [path for path, stat in there.items() if self._seen.get(path) != stat]
        gone = self._seen.keys() - there.keys()
        self._seen = there
        for path in gone:
            self._groups.pop(path, None)
        for path in changed:
            try:
                self._groups[path] = _load(path)
            except (OSError, ValueError) as error:
                self._warn(f"{path}: {error}; its targets stay as they were")
        return bool(changed or gone)

    def groups(self) -> Iterator[Group]:
        for path in sorted(self._groups):
            yield from self._groups[path]

    def _stats(self) -> Iterator[tuple[str, tuple[int, int]]]:
        for pattern in self._patterns:
            for path in glob.glob(pattern):
                try:
                    stat = os.stat(path)
                except OSError:
                    continue
                yield path, (stat.st_mtime_ns, stat.st_size)


def _load(path: str) -> list[Group]:
    """Raises OSError, or ValueError for what is no list of targets."""
    with open(path, "rb") as file:
        raw = file.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise ValueError(f"more than {MAX_FILE} bytes")
    if path.endswith(".toml"):
        parsed = tomllib.loads(raw.decode())
        return msgspec.convert(parsed, _Toml).static_configs
    return msgspec.json.decode(raw, type=list[Group])
