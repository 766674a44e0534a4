"""From a file to a Config that can be used, or to everything that is wrong with it.

    text -> tables (tomllib) -> ${…} expanded -> those of sources put beside them
         -> short forms made long -> OTEL_* filled in
         -> structs (msgspec) -> names given -> [mesh] expanded -> checks -> Loaded, or ConfigError

Each step reports and goes on, so that one run tells all. Only this module knows the order.
"""

from __future__ import annotations

import dataclasses
import gc
import re
import sys
import tomllib
from collections.abc import Mapping
from typing import Any

import msgspec

from proxy.config.check_access import check_access
from proxy.config.check_collector import check_collector
from proxy.config.check_errors import check_errors
from proxy.config.check_mesh import check_mesh
from proxy.config.check_messaging import check_messaging, with_consumer_names
from proxy.config.check_ports import check_ports
from proxy.config.check_rates import check_redis
from proxy.config.check_recent import check_recent
from proxy.config.check_routes import check_routes
from proxy.config.check_slo import check_slo
from proxy.config.check_sources import check_sources
from proxy.config.check_tls import check_tls
from proxy.config.checks import check
from proxy.config.collector import read_collector
from proxy.config.convert import Converter
from proxy.config.expand import Expander
from proxy.config.given import NOTHING, Givens, counting, put_beside, stand_in, wait_for_listeners
from proxy.config.loaded import Loaded as Loaded
from proxy.config.locate import Lines, locate
from proxy.config.material import NONE, Material
from proxy.config.mesh_expand import expand
from proxy.config.mesh_identity import check_mesh_identity
from proxy.config.mesh_service import NOWHERE, TEXT, fill_mesh
from proxy.config.messaging_expand import expand_messaging
from proxy.config.model import Config, Listener, Route
from proxy.config.otel_env import Environment, fill, table
from proxy.config.otel_export import fill_export
from proxy.config.redact import redacted as redacted
from proxy.config.report import Report
from proxy.config.shorthand import lengthen
from proxy.config.shorthand_messaging import lengthen_messaging
from proxy.config.slips import tell_slips
from proxy.config.slips_observe import tell_telemetry_slips
from proxy.errors import ConfigError, Problem

STDIN = "<stdin>"  # the name of what has none, in messages
Known = tuple[Material, Givens]  # what is in force of TLS, and what sources say
YAML = (".yaml", ".yml")  # a file of the OpenTelemetry Collector


def load(
    path: str, environ: Mapping[str, str], known: Material = NONE, given: Givens = NOTHING
) -> Loaded:
    """The configuration in the file `path`, "-" for what comes on stdin. `known`: what TLS has in
    force, of which a certificate that no file has is kept. `given`: what sources say, of which
    counts what the file asks for.

    ConfigError with all problems if it cannot be used.
    """
    name = STDIN if path == "-" else path
    try:
        text = _read(path).decode("utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name, or not UTF-8
        raise ConfigError([_unreadable(error, name)]) from None
    return loads(text, name, environ, known, given)


def _read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    if path == NOWHERE:
        return TEXT.encode()
    with open(path, "rb") as file:
        return file.read()


def _unreadable(error: OSError | ValueError, name: str) -> Problem:
    reason, remedy = getattr(error, "strerror", None) or str(error), ""
    if name == STDIN:
        reason, remedy = "stdin is read once", "run it from a file to reload it"
    elif isinstance(error, FileNotFoundError):
        remedy = f"`spangate example > {name}` writes one to begin with"
    return Problem("file", f"cannot read it: {reason}", remedy, 0, name)


def loads(
    text: str,
    file: str,
    environ: Mapping[str, str],
    known: Material = NONE,
    given: Givens = NOTHING,
) -> Loaded:
    """The same for a text; `file` is for messages, and for ${file:…} with a relative path."""
    file = file or "<text>"
    collecting = gc.isenabled()
    gc.disable()  # all that is made here stays, and looking for garbage in it took a tenth longer
    try:
        if file.endswith(YAML):
            return _of_collector(text, file, environ)
        raw, report = _parse(text, file), Report(file, locate(text))
        raw = Expander(report, environ).tree(raw)
        counts = counting(raw, given)
        put_beside(raw, counts, report)
        wait_for_listeners(raw)
        loaded = _build(raw, report, environ, (known, counts))
        return dataclasses.replace(loaded, text=text, given=counts, places=report.places)
    except RecursionError:
        problem = Problem("file", "tables or lists are nested too deeply", "", 0, file)
        raise ConfigError([problem]) from None
    except ConfigError as error:
        error.text = text
        raise
    finally:
        if collecting:
            gc.enable()


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and integers beyond what int() reads
        raise ConfigError([_syntax(error, file, text)]) from None


def _build(raw: dict[str, Any], report: Report, environ: Mapping[str, str], known: Known) -> Loaded:
    lengthen(raw, report)
    stand_in(raw, report)
    lengthen_messaging(raw, report)
    env = Environment(environ, report)
    fill(raw, env)
    fill_export(table(raw, "export"), env)
    fill_mesh(raw, environ)
    return _structs(raw, report, known)


def _of_collector(text: str, file: str, environ: Mapping[str, str]) -> Loaded:
    """A file of the OpenTelemetry Collector, whose pipelines are all there is."""
    from proxy.config.otelcol.document import read
    from proxy.config.otelcol.translate import translate

    written, lines = read(text, file)
    report = Report(file, Lines(lines))
    raw = translate(written, report, Expander(report, environ).tree)
    fill(raw, Environment(environ, report))
    return _structs(raw, report)


def _structs(raw: dict[str, Any], report: Report, known: Known = (NONE, NOTHING)) -> Loaded:
    converter = Converter(report)
    collector = read_collector(raw.pop("collector", None), converter, report)
    config: Config = converter.struct(Config, raw, ())
    config = msgspec.structs.replace(config, route=_with_names(config.route), collector=collector)
    if collector is not None:
        check_collector(collector, report)
    if check_mesh(config, report):
        config = expand(config, report, listens="listen" in raw)
    check(config, report)
    check_sources(config, report)
    material = check_tls(config, report, *known)
    check_mesh_identity(config, report)
    check_ports(config, report)
    check_routes(config, report)
    check_redis(config, report)
    config = with_consumer_names(config)
    check_messaging(config, report)
    check_slo(config, report)
    pages, credentials = check_errors(config, report), check_access(config, report)
    if pages or credentials:
        material = msgspec.structs.replace(material, pages=pages, credentials=credentials)
    config = msgspec.structs.replace(config, recent=check_recent(config, report))
    tell_slips(config, report)
    tell_telemetry_slips(config, report)
    warnings = report.settle()
    config = msgspec.structs.replace(config, listen=_apart(config.listen))
    config = expand_messaging(config)
    return Loaded(config, report.file, warnings, report.lines, converter.expanded, material)


def _apart(listeners: list[Listener]) -> list[Listener]:
    """Listeners go by their addresses: a second one that asks for any free port says so by one
    more zero."""
    taken: set[str] = set()
    made = []
    for listener in listeners:
        if listener.address.endswith(":0"):
            address = listener.address
            while address in taken:
                address += "0"
            taken.add(address)
            listener = msgspec.structs.replace(listener, address=address)
        made.append(listener)
    return made


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


def _syntax(error: ValueError, file: str, text: str) -> Problem:
    from proxy.config.words import toml  # long lists, and most files need none

    message, lines = str(error), text.splitlines()
    place = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    if place is None:
        return Problem("syntax", message, "", 0, file)
    line = int(place[1] or len(lines))
    column = f" in column {place[2]}" if place[2] else " at the end"
    message = message[: place.start()]
    written = lines[line - 1] if 0 < line <= len(lines) else ""
    remedy = toml.remedy(message, written, int(place[2] or 0), text)
    return Problem("syntax", message + column, remedy, line, file)
