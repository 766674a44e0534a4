"""A file of API keys (`[auth.NAME] api_key = { file = … }`): read, judged, and packed.

    [[key]]
    name = "shop"            # whose it is; several keys may have one name
    id = "k3Jf9QaZ"          # optional: what `spangate key list` and `remove` call it by
    hash = "sha256:…"        # of the whole key
    created = 2026-11-29T08:00:00Z                      # optional, as are all below
    expires = 2027-02-27T08:00:00Z
    disabled = true
    scopes = ["orders:read"]

It is TOML. What `spangate key add` writes is read by a short way, a line at a time: 100,000 keys
in 1.8 s, for which tomllib takes 6.4 and does not tell lines. A key that is written otherwise is
read by tomllib, and means the same.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

from proxy.config.credential_file import CredentialFile
from proxy.config.key_table import NEVER, Key, Owner, pack
from proxy.config.locate import Path
from proxy.config.report import Report, suggestion

MOST = 64 * 1024 * 1024  # bytes of a file: half a million keys
HEADER = re.compile(r"\s*\[\[\s*key\s*\]\]\s*(?:#.*)?")
NAME = re.compile(r"[!-~]{1,128}")
SCOPE = re.compile(r"[!#-\[\]-~]{1,128}")  # RFC 6749 §3.3

_KNOWN = ("name", "hash", "id", "created", "expires", "disabled", "scopes")
_REMEDY = "`spangate key add NAME` makes a key and writes it there"
_HASH = re.compile(r"sha256:([0-9a-f]{64})")
_SIMPLE = re.compile(
    r'(name|hash|id|created|expires|disabled|scopes) = (?:"([^"\\\x00-\x1f\x7f]*)"|(true|false)'
    r'|(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)|\[((?:"[^"\\\x00-\x1f\x7f]*"(?:, )?)*)\])'
)
_OPAQUE = re.compile(r'"([^"]*)"')
_AT = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class Written:
    """One [[key]] as it stands there."""

    __slots__ = ("line", "lines", "values")

    def __init__(self, line: int, lines: list[str]) -> None:
        self.line = line  # of its header
        self.lines = lines  # from that on
        self.values: dict[str, Any] = {}

    def line_of(self, key: str) -> int:
        """Where a key of it stands, else its header."""
        for number, line in enumerate(self.lines, self.line):
            if line.partition("=")[0].strip(" \t\"'") == key:
                return number
        return self.line


class Mistake(ValueError):
    """What is wrong with one key; `key`: where."""

    def __init__(self, key: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.key = key
        self.remedy = remedy


def read(path: str, report: Report, place: Path) -> bytes:
    """What workers look keys up in (`key_table.py`); b"" if the file is no use, which is told."""
    file = CredentialFile(path, report, place, _REMEDY)
    found: dict[bytes, tuple[Key, int]] = {}
    for written in blocks(file):
        try:
            digest, key = judged(written)
        except Mistake as mistake:
            file.wrong(written.line_of(mistake.key), str(mistake), mistake.remedy)
            continue
        if digest in found:
            message = f"the same hash as in line {found[digest][1]}"
            file.wrong(written.line_of("hash"), message, "leave out one of the two")
        else:
            found[digest] = key, written.line_of("hash")
    if not found and not file.mistakes:
        file.empty("key")
    if file.mistakes:
        return b""
    return pack(_emptied(found))


def _emptied(found: dict[bytes, tuple[Key, int]]) -> Iterator[tuple[bytes, Key]]:
    """One by one: to let go of all at once would keep other threads waiting."""
    while found:
        digest, (key, _) = found.popitem()
        yield digest, key


def blocks(file: CredentialFile) -> Iterator[Written]:
    """Its keys, with their values; those that cannot be read are told, and left out."""
    written: Written | None = None
    for number, line in file.lines(MOST):
        if HEADER.fullmatch(line):
            if written is not None and _fill(written, file):
                yield written
            written = Written(number, [line])
        elif written is not None:
            written.lines.append(line)
        elif line.strip() and not line.lstrip().startswith("#"):
            file.wrong(number, "what stands there belongs to no key", "write [[key]] before it")
            return
    if written is not None and _fill(written, file):
        yield written


def judged(written: Written) -> tuple[bytes, Key]:
    """SHA-256 of the key, and what is said of it; raises Mistake."""
    values = written.values
    for key in values:
        if key not in _KNOWN:
            raise Mistake(key, f"unknown key `{key}`", suggestion(key, _KNOWN))
    _text(values, "id", "")
    name = _text(values, "name", None)
    if NAME.fullmatch(name) is None:
        message = f"{name!r} cannot be a name: 1 to 128 characters of ASCII, no space"
        raise Mistake("name", message)
    matched = _HASH.fullmatch(_text(values, "hash", None))
    if matched is None:
        message = '`hash` must be "sha256:" and 64 digits 0-9a-f'
        raise Mistake("hash", message, _REMEDY)
    _time(values, "created")
    disabled = values.get("disabled", False)
    if not isinstance(disabled, bool):
        raise Mistake("disabled", "`disabled` must be true or false")
    owner = Owner(name, _scopes(values))
    return bytes.fromhex(matched[1]), Key(owner, _time(values, "expires"), disabled)


def _fill(written: Written, file: CredentialFile) -> bool:
    values = written.values
    for line in written.lines[1:]:
        said = _SIMPLE.fullmatch(line)
        if said is not None and said[1] not in values:
            values[said[1]] = _plain(said)
        elif line and not line.startswith("#"):
            return _otherwise(written, file)
    return True


def _plain(said: re.Match[str]) -> Any:
    if said[2] is not None:
        return said[2]
    if said[3] is not None:
        return said[3] == "true"
    if said[4] is not None:
        try:
            return datetime.fromisoformat(said[4])
        except ValueError:
            return said[4]  # which is then no time
    return _OPAQUE.findall(said[5])


def _otherwise(written: Written, file: CredentialFile) -> bool:
    """Read it by the whole grammar; whether that is possible."""
    try:
        raw = tomllib.loads("\n".join([*written.lines, ""]))
    except (ValueError, RecursionError) as error:
        message = str(error)
        at = _AT.search(message)
        behind = int(at[1]) if at and at[1] else len(written.lines)
        line = written.line + behind - 1
        file.wrong(line, _AT.sub("", message), "the file is TOML")
        return False
    tables = raw.pop("key")
    if raw:
        other = next(iter(raw))
        line = Written(written.line, [line.strip(" \t[]") for line in written.lines]).line_of(other)
        file.wrong(line, f"unknown table [{other}]", "there are [[key]] alone")
        return False
    written.values = tables[0]
    return True


def _text(values: dict[str, Any], key: str, default: str | None) -> str:
    value = values.get(key, default)
    if value is None:
        raise Mistake("", f"this key has no `{key}`", _REMEDY)
    if not isinstance(value, str):
        raise Mistake(key, f"`{key}` must be a text", f'{key} = "…"')
    return value


def _time(values: dict[str, Any], key: str) -> float:
    """Unix seconds; infinite = not said. A date alone is its first moment in UTC."""
    value = values.get(key)
    if value is None:
        return NEVER
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if not isinstance(value, datetime) or value.tzinfo is None:
        message = f"`{key}` must be a time with its zone, without quotes"
        raise Mistake(key, message, f"{key} = 2027-01-31T12:00:00Z")
    return value.timestamp()


def _scopes(values: dict[str, Any]) -> tuple[str, ...]:
    scopes = values.get("scopes", [])
    if not isinstance(scopes, list):
        raise Mistake("scopes", "`scopes` must be a list", 'scopes = ["orders:read"]')
    for scope in scopes:
        if not isinstance(scope, str) or SCOPE.fullmatch(scope) is None:
            raise Mistake("scopes", f"{scope!r} is no scope", 'scopes = ["orders:read"]')
    return tuple(scopes)
