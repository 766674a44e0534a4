"""What our processes say on stderr: for people on a terminal, a line of JSON elsewhere.

A log that a machine keeps is searched by its fields, one that somebody watches is read; so the
form follows from where it goes, unless `[log] format` says something. Warnings of libraries come
the same way. Records of requests are the access log's (`telemetry/access.py`).

Each call that logs gives its message a key, `extra={"key": "worker.exited"}`, which stays when
the words change: what alerts and scripts go by (docs/logs.md lists them, tests hold them to it).
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TextIO

Format = Literal["auto", "text", "json"]
Level = Literal["debug", "info", "warning", "error"]

_logger = logging.getLogger("spangate")

_COLOURS = {"WARNING": "33", "ERROR": "31", "CRITICAL": "31"}
_DIM = "2"


def begin(process: str) -> None:
    """Say from now on what is worth a line; `process` names this one in JSON.

    Does nothing where somebody has said already where the log goes.
    """
    root = logging.getLogger()
    if root.handlers or _logger.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(Lines(process))
    root.addHandler(handler)
    configure("auto", "info")


def configure(form: Format, level: Level) -> None:
    """Go by `[log]`, where `begin` has set up the log."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, Lines):
            handler.formatter.json = is_json(form, terminal=sys.stderr.isatty())
            handler.formatter.colour = is_coloured(sys.stderr, os.environ)
            _logger.setLevel(level.upper())


def is_json(form: Format, *, terminal: bool) -> bool:
    """Whether lines are JSON: what `[log] format` says, by the stream where it is "auto"."""
    return not terminal if form == "auto" else form == "json"


def is_coloured(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether text there may have colours: a terminal, and neither NO_COLOR nor TERM=dumb."""
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


class Lines(logging.Formatter):
    """One line for each record, whatever it holds; a traceback has lines of its own in text."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self.json = self.colour = False
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        trace = self.formatException(record.exc_info) if record.exc_info else ""
        made = self._json if self.json else self._text
        return made(record, trace)

    def _text(self, record: logging.LogRecord, trace: str) -> str:
        time = datetime.fromtimestamp(record.created).isoformat(" ", "milliseconds")
        level, said = f"{record.levelname:<7}", _printable(record.getMessage())
        if self.colour:
            time, level = _painted(time, _DIM), _painted(level, _COLOURS.get(record.levelname, ""))
            said += "  " + _painted(_key(record), _DIM)
        line = f"{time} {level} {said}"
        return f"{line}\n{trace}" if trace else line

    def _json(self, record: logging.LogRecord, trace: str) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        members = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self._process,
            "key": _key(record),
            "message": record.getMessage(),
        }
        if trace:
            members["exception"] = trace
        return json.dumps(members, separators=(",", ":")).replace("\x7f", "\\u007f")


def _key(record: logging.LogRecord) -> str:
    """The message's; of what others log, who that is."""
    return getattr(record, "key", "") or f"library.{record.name}"


def _painted(text: str, style: str) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if style else text


def _printable(text: str) -> str:
    """Without what acts on a terminal; lines stay lines."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)
