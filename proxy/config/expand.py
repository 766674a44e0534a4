"""`${ENV}`, `${ENV:-default}` and `${file:/run/secret}` in the strings of a parsed file.

What came from outside is marked as `Expanded`, so that a number may be made of it and that
nobody is shown it. A `$` that no `{` or `$` follows stays (regular expressions end in one);
`$$` is a literal `$`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from proxy.config.locate import Path
from proxy.config.report import Report
from proxy.config.syntax import is_text

MAX_FILE = 64 * 1024  # bytes; a secret is shorter, /dev/zero is not

KEY = "<key>"  # (…, KEY, name) is the path of a table's key, (…, name) of its value

_REFERENCE = re.compile(r"\$(?:\$|\{([^}]*)\}|\{)")
# `env:` is how the OpenTelemetry Collector writes it.
_VARIABLE = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_KEYS = {"servers", "to"}  # tables whose keys are URLs


class Expanded(str):
    """A string that was made from an environment variable or a file."""

    __slots__ = ("secret", "written")

    written: str  # as it stands in the configuration
    secret: bool  # from a file: not even the reference is shown


class Expander:
    """Replaces references all over a tree, and reports those that lead nowhere."""

    __slots__ = ("_environ", "_folder", "_report")

    def __init__(self, report: Report, environ: Mapping[str, str]) -> None:
        self._report = report
        self._environ = environ
        self._folder = os.path.dirname(report.file)  # relative files are beside the configuration

    def tree(self, raw: Any, path: Path = ()) -> Any:
        """`raw` with every reference replaced."""
        if isinstance(raw, str):
            return self.text(raw, path)
        if isinstance(raw, list):
            return [self.tree(item, (*path, i)) for i, item in enumerate(raw)]
        if isinstance(raw, dict):
            inside = bool(path) and path[-1] in _KEYS
            return {
                self.text(k, (*path, k)) if inside else k: self.tree(v, (*path, k))
                for k, v in raw.items()
            }
        return raw

    def text(self, written: str, path: Path) -> str:
        if "$" not in written:
            return written
        pieces: list[str] = []
        outside = secret = False
        end = 0
        for found in _REFERENCE.finditer(written):
            pieces.append(written[end : found.start()])
            end = found.end()
            if found[0] == "$$":
                pieces.append("$")
                continue
            outside = True
            secret = secret or (found[1] or "").startswith("file:")
            pieces.append(self._resolve(found[1], path))
        pieces.append(written[end:])
        text = "".join(pieces)
        if not outside:
            return text
        value = Expanded(text)
        value.written = written
        value.secret = secret
        if secret:
            self._report.hide(text, written)
        return value

    def _resolve(self, inside: str | None, path: Path) -> str:
        if inside is None:
            self._report.error(path, "`${` without `}`", "write `$${` for a literal `${`")
            return ""
        if inside.startswith("file:"):
            return self._file(inside[5:], path)
        variable = _VARIABLE.fullmatch(inside)
        if variable is None:
            remedy = "write ${NAME}, ${NAME:-default} or ${file:/path}"
            self._report.error(path, f"${{{inside}}} names no variable", remedy)
            return ""
        value = self._environ.get(variable[1])
        if value is not None and not is_text(value):
            self._report.error(path, f"environment variable {variable[1]} is not UTF-8")
            return ""
        if variable[2] is not None:
            return value or variable[2]  # unset or empty, as in a shell
        if value is None:
            remedy = f"set it, or give a default: ${{{inside}:-…}}"
            self._report.error(path, f"environment variable {inside} is not set", remedy)
        return value or ""

    def _file(self, name: str, path: Path) -> str:
        try:
            with open(os.path.join(self._folder, name), "rb") as file:
                content = file.read(MAX_FILE + 1)
            text = content.decode()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name, or not UTF-8
            reason = getattr(error, "strerror", None) or str(error)
            self._report.error(path, f"cannot read {name!r}: {reason}", "does the file exist?")
            return ""
        if len(content) > MAX_FILE:
            self._report.error(path, f"{name!r} is longer than {MAX_FILE} bytes")
        return text.removesuffix("\n").removesuffix("\r")
