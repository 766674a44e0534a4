"""`${ENV}`, `${ENV:-default}` and `${file:/run/secret}` in the strings of a parsed file.

`${env:NAME}`, as the OpenTelemetry Collector writes it, is the same as `${NAME}`. What came from
outside is marked as `Expanded`, so that a number may be made of it and that nobody is shown it. A
`$` that no `{` or `$` follows stays (regular expressions end in one); `$$` is a literal `$`.
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
_VARIABLE = re.compile(r"(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_ELSEWHERE = re.compile(r"(?:env[:.])?([A-Za-z_][A-Za-z0-9_]*)(?::?[-=?]?(.*))?", re.DOTALL)
_KEYS = {"servers", "to"}  # tables whose keys are URLs


class Expanded(str):
    """A string that was made from an environment variable or a file."""

    __slots__ = ("failed", "secret", "written")

    written: str  # as it stands in the configuration
    secret: bool  # from a file: not even the reference is shown
    failed: bool  # it led nowhere, which was reported: nothing else is wrong with this value

    def prefixed(self, text: str) -> Expanded:
        """The same behind `text`."""
        made = Expanded(text + self)
        made.written, made.secret, made.failed = text + self.written, self.secret, self.failed
        return made


class Expander:
    """Replaces references all over a tree, and reports those that lead nowhere."""

    __slots__ = ("_environ", "_failed", "_folder", "_report")

    def __init__(self, report: Report, environ: Mapping[str, str]) -> None:
        self._report = report
        self._environ = environ
        self._failed = False  # the string that is looked at has a reference that leads nowhere
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
        outside = secret = self._failed = False
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
        value.failed = self._failed
        if secret:
            self._report.hide(text, written)
        return value

    def _resolve(self, inside: str | None, path: Path) -> str:
        if inside is None:
            return self._fail(path, "`${` without `}`", "write `$${` for a literal `${`")
        if inside.startswith("file:"):
            return self._file(inside[5:], path)
        variable = _VARIABLE.fullmatch(inside)
        if variable is None:
            return self._fail(path, f"${{{inside}}} names no variable", _spelled(inside))
        name, default = variable.groups()
        value = self._environ.get(name)
        if value is not None and not is_text(value):
            return self._fail(path, f"environment variable {name} is not UTF-8")
        if default is not None:
            return value or str(default)  # unset or empty, as in a shell
        if value is None:
            remedy = f"set it, or give a default: ${{{name}:-…}}"
            if name.islower() and {"redirect", "rewrite"} & set(path):
                from proxy.config.words import values  # a long list, and most files need none

                remedy = f"write {values.reference(name)} for a part of the request"
            return self._fail(path, f"environment variable {name} is not set", remedy)
        return value

    def _file(self, name: str, path: Path) -> str:
        try:
            with open(os.path.join(self._folder, name), "rb") as file:
                content = file.read(MAX_FILE + 1)
            text = content.decode()
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name, or not UTF-8
            reason = getattr(error, "strerror", None) or str(error)
            return self._fail(path, f"cannot read {name!r}: {reason}", "does the file exist?")
        if len(content) > MAX_FILE:
            return self._fail(path, f"{name!r} is longer than {MAX_FILE} bytes")
        return text.removesuffix("\n").removesuffix("\r")

    def _fail(self, path: Path, message: str, remedy: str = "") -> str:
        self._failed = True
        self._report.error(path, message, remedy)
        return ""


def _spelled(inside: str) -> str:
    """What to write for a reference in the notation of another program: ${PORT-80}, ${PORT:80}."""
    found = _ELSEWHERE.fullmatch(inside)
    if found is None:
        return "write ${NAME}, ${NAME:-default} or ${file:/path}"
    return f"write ${{{found[1]}:-{found[2]}}}" if found[2] else f"write ${{{found[1]}}}"
