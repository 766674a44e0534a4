"""Slips of TOML, and files in another format altogether: what to write for the line at fault."""

from __future__ import annotations

import re

from proxy.config.secrets import is_secret
from proxy.config.words import fill, hints

_NGINX = r"^\s*(?:(?:http|events|server|location|upstream)\b[^=\n]*\{|[a-z_]+ [^=\n{]+;)"
_FORMATS = (  # what a file looks like: the first that fits
    ("nginx's format", re.compile(_NGINX, re.M)),
    ("JSON", re.compile(r"\A\s*\{")),
    (
        "HAProxy's format",
        re.compile(r"^(?:(?:frontend|backend|listen) +\S+|global|defaults) *$", re.M),
    ),
    (
        "a Caddyfile",
        re.compile(r"^[^=#\n\[]*\{ *$|^\s*(?:reverse_proxy|handle|respond|root) ", re.M),
    ),
    ("YAML", re.compile(r"^[ -]*[A-Za-z_][\w.-]*:(?: [^=\n]*)?$", re.M)),
)
_COLLECTOR = re.compile(r"^(?:receivers|exporters|service):\s*$", re.M)
_STATEMENT = re.compile(r"""[\s-]*["']?([A-Za-z_][\w.-]*)["']?\s*[=:\s]?\s*(.*?)\s*[;{,]*\s*$""")
_PAIR = re.compile(r"""\s*((?:[\w.-]+|"[^"]*")\s*)=\s*(.+?)\s*;?\s*(?:#.*)?$""")
_INSIDE = re.compile(r"([\w.-]+)\s*=\s*$")
_TWICE = re.compile(r"Cannot declare \('(\w+)'(?:, '([^']+)')?")
_STRING = re.compile(r"""("[^"]*"|'[^']*')""")
_KNOWN = {  # keys of ours whose line lacks its "=" or quotes
    "listen": '<":8080">',
    "path": '<"/a">',
    "to": '<"http://10.0.0.1:8000">',
    "host": '<"shop.example">',
    "redirect": '<"/new">',
    "timeout": '<"30s">',
    "servers": '<["http://10.0.0.1:8000"]>',
    "workers": "<2>",
}
_TRUTH = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_BEGIN = "`spangate example` prints a file to begin with"


def remedy(message: str, line: str, column: int, text: str) -> str:
    """What to write instead of `line`, about whose `column` tomllib said `message`."""
    if found := _TWICE.search(message):
        return _declared(found[1])
    if "overwrite" in message:
        return "it is there already: one of the two goes"
    if re.search("[“”‘’]", line):
        return 'quotes are straight: "…"'
    if "\\" in line and ("scape" in message or "hex value" in message):
        return "a backslash is itself in single quotes: path = '~^/v\\d+$'"
    if message.startswith("Invalid value") and (inside := _INSIDE.search(line, 0, column - 1)):
        return _value(inside[1], re.split(r"[,}\]#]", line[column - 1 :])[0].strip(), line)
    if pair := _PAIR.match(line):
        return _value(pair[1].strip(), pair[2], line)
    if table := re.match(r"""\s*\[+\s*(\w+)[ :]+["']?([\w.-]+)""", line):
        return f"write [{table[1]}.{table[2]}]"
    if line.lstrip().startswith("["):
        return "a table is [name] or [[route]], on a line of its own"
    return _foreign(line, text) or f"write key = value, and tables as [name]; {_BEGIN}"


def _declared(table: str) -> str:
    if table in ("route", "listen"):
        return f"write [[{table}]], one for each"
    return "a table is written once: put both parts together"


def _value(key: str, value: str, line: str) -> str:
    plain = value.rstrip(";").strip()
    if value.startswith(('"', "'")):
        if line.rstrip().endswith(";") and _STRING.fullmatch(plain):
            return "leave the semicolon out"
        return "a string ends on its line, with the quote that it began with"
    if value.startswith(("{", "[")):
        return "an inline table is one line, with commas between its keys: write a [table] for more"
    if (lower := plain.lower()) in ("true", "false", *_TRUTH):
        return f"write {key} = {_TRUTH.get(lower, lower)}"
    if re.fullmatch(r"[\d.]+", plain):
        return "leave the semicolon out"
    if not plain:
        return f'a value is missing: {key} = "…"'
    hidden = is_secret((key,)) or "headers" in line
    shown = "…" if hidden else plain.replace('"', "'")
    return f'texts are in quotes: {key} = "{shown}"'


def _foreign(line: str, text: str) -> str:
    """For a line that is no TOML at all: the hint for its first word, as if it were a key."""
    if _COLLECTOR.search(text):
        return "this is the OpenTelemetry Collector's YAML, which `spangate collect` reads as it is"
    found = _STATEMENT.match(line)
    hint = _of_word(found[1], found[2].strip("\"' ")) if found else ""
    kind = next((name for name, sign in _FORMATS if sign.search(text)), "")
    if kind and (not hint or "leave it out" in hint):
        hint = _first_of(text)
    about = f"this is {kind}, and routes.toml is TOML: key = value below [tables]" if kind else ""
    if not about and not hint:
        return ""
    return "; ".join(part for part in (about, hint or _BEGIN) if part)


def _first_of(text: str) -> str:
    """The hint for the first line of a file in another format that has one to act upon."""
    for line in text.splitlines():
        found = _STATEMENT.match(line)
        hint = _of_word(found[1], found[2].strip("\"' ")) if found else ""
        if hint and "leave it out" not in hint:
            return hint
    return ""


def _of_word(word: str, value: str) -> str:
    if (known := _KNOWN.get(word)) is not None:
        return fill.filled(f"write {word} = {known}", value)
    for table in ("Config", "Route", "Upstream"):
        if hints.is_word(table, word):
            return hints.word_of(table, word, value)
    return ""
