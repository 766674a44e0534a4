"""What a route may say about the compression of its answers."""

from __future__ import annotations

import re

from proxy.config.locate import Path
from proxy.config.model import Compress, Route
from proxy.config.report import Report

# type/subtype (RFC 9110 §8.3.1), with `*` for a whole kind or for what is before a suffix
_TYPE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/(\*(\+[A-Za-z0-9.-]+)?|[A-Za-z0-9!#$&^_.+-]+)"
)


def check_compress(route: Route, compress: Compress, path: Path, report: Report) -> None:
    """Report types that are none, and codings that are missing or named twice."""
    for i, kind in enumerate(compress.types):
        if not report.is_broken(*path, "types", i):
            _type(kind, (*path, "types", i), report)
    codings = compress.codings
    if not codings and not report.is_broken(*path, "with"):
        report.error((*path, "with"), "no coding is named", 'write with = ["zstd", "br", "gzip"]')
    for i, coding in enumerate(codings):
        if coding in codings[:i] and not report.is_broken(*path, "with", i):
            report.error((*path, "with", i), f"{coding!r} is listed twice", "leave one of them out")
    if not route.to and not report.is_broken(*path):
        message = "only answers of an upstream are compressed"
        report.warn(path, message, "leave it out")


def _type(kind: str, path: Path, report: Report) -> None:
    if kind in ("*", "*/*"):
        remedy = 'name kinds: types = ["text/*", "application/json"]'
        report.error(path, "what is compressed already would be compressed again", remedy)
    elif kind.partition(";")[0] != kind:
        report.error(path, f"{kind!r} has parameters", f'write "{kind.partition(";")[0].strip()}"')
    elif _TYPE.fullmatch(kind) is None:
        report.error(path, f"{kind!r} is not a media type", 'write "text/html" or "text/*"')
