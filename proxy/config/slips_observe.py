"""The telemetry tables' slips: what is well-formed, and can hardly mean what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from proxy.config.access_places import secret_attributes, secret_fields
from proxy.config.attributes import RESERVED
from proxy.config.locate import Path
from proxy.config.model import Config, Route
from proxy.config.observe import Tls
from proxy.config.report import Report
from proxy.config.syntax import parse_otlp

Slip = tuple[Path, str, str]

_SIGNAL = re.compile(r"/v1/(traces|metrics|logs)/?")
_DESTINATIONS = ("otlp", "traces", "metrics", "logs")
_ABOUT_SENDING = ("headers", "compression", "tls", "storage")
# The customary port of the other protocol: requests there are answered with nonsense.
_OTHERS = {("http", 4317): ("gRPC", "grpc"), ("grpc", 4318): ("HTTP", "http")}


def tell_telemetry_slips(config: Config, report: Report) -> None:
    """Warn about every slip; a value that has an error already is left alone."""
    slips = (*_tracing(config, report), *_export(config, report), *_labels(config))
    slips += tuple(_secret(config))
    for path, message, remedy in slips:
        if not report.is_broken(*path):
            report.warn(path, message, remedy)


def own_paths(url: str) -> str:
    """For a base URL that has the path of one signal already, the base; "" for any other."""
    found = re.fullmatch(r"((?:http|https)(?:\+json)?://[^/]+(?:/.*?)?)" + _SIGNAL.pattern, url)
    return found[1] if found else ""


def _tracing(config: Config, report: Report) -> Iterator[Slip]:
    tracing = config.tracing
    for i, path in enumerate(tracing.untraced):
        if path and "*" in path:
            remedy = 'list them, or write trace = { sampler = "never" } on a [[route]]'
            yield ("tracing", "untraced", i), "paths here are exact, without *", remedy
    if tracing.sampler in ("always", "never") and report.lines.exact(("tracing", "sample")):
        message = f'sampler = "{tracing.sampler}" does not look at it'
        yield ("tracing", "sample"), message, 'sampler = "ratio", or leave one of the two out'
    if config.forwarding.underscores != "pass":
        yield from _underscores(config)


def _labels(config: Config) -> Iterator[Slip]:
    """Labels that no span shows, because the gateway has attributes of that name."""
    places: list[tuple[Path, str]] = [(("labels", name), name) for name in config.labels]
    for i, route in enumerate(config.route):
        if isinstance(route, Route):
            places += [(("route", i, "labels", name), name) for name in route.labels]
    for place, name in places:
        if name.startswith(RESERVED):
            remedy = f'write "business.{name}", or another name of your own'
            yield place, "it is left out: the gateway's own attributes begin so", remedy


def _secret(config: Config) -> Iterator[Slip]:
    """What is recorded, and holds credentials: it is hidden."""
    fields = secret_fields(config)
    found: list[tuple[Path, str, str]] = []
    for key in ("request_headers", "response_headers"):
        for i, name in enumerate(getattr(config.tracing, key)):
            if name and (check := fields.get(name.lower())):
                found.append((("tracing", key, i), name, check))
    for key, check in secret_attributes(config).items():
        found.append((("attributes", key), config.attributes[key], check))
    for place, name, check in found:
        message = f"{name} holds credentials, as [auth.{check}] says: spans have REDACTED instead"
        yield place, message, "leave it out"


def _underscores(config: Config) -> Iterator[Slip]:
    """Fields that are looked for and never come so far."""
    names: list[tuple[Path, str]] = [
        (("tracing", "request_headers", i), name)
        for i, name in enumerate(config.tracing.request_headers)
    ]
    for key, source in config.attributes.items():
        if source.startswith("header:"):
            names.append((("attributes", key), source.removeprefix("header:")))
    for place, name in names:
        if name and "_" in name:
            remedy = f'write {name.replace("_", "-")}, or [forwarding] underscores = "pass"'
            yield place, "fields with _ in their name do not come so far", remedy


def _export(config: Config, report: Report) -> Iterator[Slip]:
    export = config.export
    for key in _DESTINATIONS:
        for i, url in enumerate(getattr(export, key)):
            if url and (told := _port(url)):
                yield ("export", key, i), *told
    urls = [url for key in _DESTINATIONS for url in getattr(export, key) if url]
    said = [key for key in _ABOUT_SENDING if report.lines.exact(("export", key))]
    if not urls and said and not export.console and not report.is_broken("export"):
        remedy = 'write otlp = "grpc://localhost:4317"'
        yield ("export", said[0]), "nothing is sent: [export] does not say where to", remedy
    secure = any(re.match(r"grpcs|https", url) for url in urls)
    if urls and not secure and export.tls != Tls() and "tls" in said:
        remedy = "write grpcs:// or https:// in the URL"
        yield ("export", "tls"), "no URL here is with TLS, so it is not used", remedy


def _port(url: str) -> tuple[str, str] | None:
    try:
        scheme, host, port, _ = parse_otlp(url)
    except ValueError:
        return None  # it has an error
    plain = "grpc" if scheme.startswith("grpc") else "http"
    if (plain, port) not in _OTHERS:
        return None
    name, other = _OTHERS[plain, port]
    other += "s" if scheme.endswith("s") or "https" in scheme else ""
    return f"port {port} is customarily that of {name}", f'write "{other}://{host}:{port}"'
