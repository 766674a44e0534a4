"""From a file to a Config that can be used, or to everything that is wrong with it.

    text -> tables (tomllib) -> ${…} expanded -> short forms made long -> OTEL_* filled in
         -> structs (msgspec) -> names given -> checks -> Loaded, or ConfigError

Each step reports and goes on, so that one run tells all. Only this module knows the order.
"""

from __future__ import annotations

import gc
import re
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from proxy.config.check_routes import check_routes
from proxy.config.checks import check
from proxy.config.collector import read_collector
from proxy.config.convert import Converter
from proxy.config.expand import Expander
from proxy.config.loaded import Loaded as Loaded
from proxy.config.locate import locate
from proxy.config.model import Config, Route
from proxy.config.otel_env import Environment, fill, table
from proxy.config.otel_export import fill_export
from proxy.config.redact import redacted as redacted
from proxy.config.report import Report
from proxy.config.shorthand import lengthen
from proxy.errors import ConfigError, Problem


def load(path: str, environ: Mapping[str, str]) -> Loaded:
    """The configuration in the file `path`; ConfigError with all problems if it cannot be used."""
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name, or not UTF-8
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError([Problem("file", f"cannot read it: {reason}", "", 0, path)]) from None
    return loads(text, path, environ)


def loads(text: str, file: str, environ: Mapping[str, str]) -> Loaded:
    """The same for a text; `file` is for messages, and for ${file:…} with a relative path."""
    file = file or "<text>"
    collecting = gc.isenabled()
    gc.disable()  # all that is made here stays, and looking for garbage in it took a tenth longer
    try:
        return _build(_parse(text, file), Report(file, locate(text)), environ)
    except RecursionError:
        problem = Problem("file", "tables or lists are nested too deeply", "", 0, file)
        raise ConfigError([problem]) from None
    finally:
        if collecting:
            gc.enable()


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and integers beyond what int() reads
        raise ConfigError([_syntax(error, file)]) from None


def _build(raw: dict[str, Any], report: Report, environ: Mapping[str, str]) -> Loaded:
    raw = Expander(report, environ).tree(raw)
    lengthen(raw, report)
    env = Environment(environ, report)
    fill(raw, env)
    fill_export(table(raw, "export"), env)
    converter = Converter(report)
    collector = read_collector(raw.pop("collector", None), converter, report)
    config: Config = converter.struct(Config, raw, ())
    config = msgspec.structs.replace(config, route=_with_names(config.route), collector=collector)
    check(config, report)
    check_routes(config, report)
    return Loaded(config, report.file, report.settle(), report.lines, converter.expanded)


def _with_names(routes: list[Route]) -> list[Route]:
    """Routes without a name are called by their path; the second one of a path by `path#2`."""
    taken = {route.name for route in routes if isinstance(route, Route)}
    named = []
    for route in routes:
        if isinstance(route, Route) and not route.name:
            name, n = route.path, 1
            while name in taken:
                n += 1
                name = f"{route.path}#{n}"
            taken.add(name)
            route = msgspec.structs.replace(route, name=name)
        named.append(route)
    return named


def _syntax(error: ValueError, file: str) -> Problem:
    message = str(error)
    place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    if place is None:
        return Problem("syntax", message, "", 0, file)
    text = f"{message[: place.start()]} in column {place[2]}"
    return Problem("syntax", text, "", int(place[1]), file)
