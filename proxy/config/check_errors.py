"""What must hold of pages for failures and of maintenance, and their files, which are read here.

As with certificates, what was checked is what is used: workers get the bytes (`material.py`).
Paths are relative to the folder of the configuration.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from proxy.config.checks import attempt
from proxy.config.error_model import ErrorPage
from proxy.config.error_template import MOST, Kind, kind_of, parse
from proxy.config.locate import Path
from proxy.config.model import Config, Route
from proxy.config.report import Report, suggestion
from proxy.config.syntax import parse_network

_STATUS = re.compile(r"[45][0-9]{2}|[45]xx")
_PATH = re.compile(r"/[!-~]*")  # origin-form, RFC 9112 §3.2.1


def files_of(page: ErrorPage) -> Iterator[tuple[str, str, Kind]]:
    """(key, path, what it holds) of each file of a page."""
    if page.file:
        yield "file", page.file, kind_of(page.file)
    kinds: tuple[Kind, ...] = ("html", "json", "text")
    for kind in kinds:
        if path := getattr(page, kind):
            yield kind, path, kind


def pages_of(config: Config) -> Iterator[tuple[Path, Mapping[str, ErrorPage]]]:
    """All tables of pages, and where they stand."""
    yield ("errors", "pages"), config.errors.pages
    for i, route in enumerate(config.route):
        if isinstance(route, Route) and route.errors is not None:
            yield ("route", i, "errors", "pages"), route.errors.pages


def asked_of(config: Config) -> set[str]:
    """The names of the upstreams that are asked for pages."""
    return {page.upstream for _, pages in pages_of(config) for page in pages.values() if page}


def check_errors(config: Config, report: Report) -> dict[str, bytes]:
    """Report what cannot work; what the files hold, by their paths."""
    reader = _Reader(report)
    for path, pages in pages_of(config):
        for status, page in pages.items():
            place = (*path, status)
            if not _STATUS.fullmatch(status):
                remedy = 'write "503", or "5xx" for all from 500 to 599'
                report.error(place, f"{status!r} is not the status of a failure", remedy)
            if isinstance(page, ErrorPage):
                _page(page, place, config, reader)
    _maintenance(config, report)
    return reader.contents


def _page(page: ErrorPage, path: Path, config: Config, reader: _Reader) -> None:
    report, files = reader.report, list(files_of(page))
    if page.upstream and files:
        message = "a page comes from a file or from an upstream"
        report.error(path, message, f"leave out `upstream` or `{files[0][0]}`")
    elif not page.upstream and not files and not report.is_broken(*path):
        remedy = 'write html = "503.html", json = "503.json", or upstream = "pages"'
        report.error(path, "this page comes from nowhere", remedy)
    elif page.file and len(files) > 1:
        message = "`file` is for everybody, so there is nobody left"
        report.error((*path, files[1][0]), message, "write html, json, text instead of file")
    for key, name, kind in files:
        reader.read(name, kind, (*path, key))
    if page.upstream:
        _upstream(page, path, config, report)


def _upstream(page: ErrorPage, path: Path, config: Config, report: Report) -> None:
    lost = report.has_failed("upstream") or report.is_broken("upstream", page.upstream)
    if page.upstream not in config.upstream and not lost:
        remedy = suggestion(page.upstream, config.upstream) or f"add [upstream.{page.upstream}]"
        report.error((*path, "upstream"), f"there is no upstream {page.upstream!r}", remedy)
    filled = page.path.replace("{status}", "503")
    if not _PATH.fullmatch(filled) or "#" in filled or re.search(r"[{}]", filled):
        remedy = 'write path = "/errors/{status}": visible ASCII, and no other placeholder'
        report.error((*path, "path"), f"{page.path!r} is not a path", remedy)


def _maintenance(config: Config, report: Report) -> None:
    said, path = config.errors.maintenance, ("errors", "maintenance")
    for i, cidr in enumerate(said.allow):
        if not report.is_broken(*path, "allow", i):
            attempt(parse_network, cidr, (*path, "allow", i), report)
    if "\0" in said.file or said.file.endswith("/"):
        remedy = 'write maintenance = "/run/spangate/maintenance"'
        report.error((*path, "file"), f"{said.file!r} is not the name of a file", remedy)
    elif said.file and os.path.isdir(os.path.join(os.path.dirname(report.file), said.file)):
        remedy = "name a file in it: maintenance is on while that file is there"
        report.error((*path, "file"), f"{said.file!r} is a folder, so it is there always", remedy)


class _Reader:
    """Reads each file once, whoever names it."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.contents: dict[str, bytes] = {}
        self._folder = os.path.dirname(report.file)

    def read(self, name: str, kind: Kind, path: Path) -> None:
        """Report a file that cannot be read, or not be shown as that kind."""
        data = self.contents.get(name)
        if data is None:
            try:
                data = self._bytes(os.path.join(self._folder, name))
            except (OSError, ValueError) as error:  # ValueError: a NUL in the name
                reason = (getattr(error, "strerror", None) or str(error)).lower()
                remedy = f"paths begin in the folder of {self.report.file}"
                self.report.error(path, f"cannot read {name!r}: {reason}", remedy)
                return
            self.contents[name] = data
        try:
            parse(data, kind)
        except ValueError as error:
            message, _, remedy = str(error).rpartition(": ")
            self.report.error(path, f"{name!r}: {message}", remedy)

    def _bytes(self, place: str) -> bytes:
        if os.path.exists(place) and not os.path.isfile(place):
            raise ValueError("it is not a file")  # opening a pipe would wait for its writer
        with open(place, "rb") as file:
            return file.read(MOST + 1)
