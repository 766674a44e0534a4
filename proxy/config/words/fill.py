"""The user's own value in a hint, where it has the form of the hint's example.

A value that may be secret, or that is of another form, leaves the example as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from proxy.config.expand import Expanded
from proxy.config.secrets import without_secrets
from proxy.config.words import values

_EXAMPLE = re.compile(r"<([^<>]*)>")
_DIGITS = re.compile(r"[0-9]{1,18}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+")
_DURATION = re.compile(r"\d+(us|ms|s|m|h)")
_URL = re.compile(r"[a-z+]+://[^\s/;\"]+[^\s;\"]*|[A-Za-z0-9.-]+:\d+")
_SIZE = re.compile(r"(\d+)([kmg])(?:i?b)?", re.IGNORECASE)


def filled(hint: str, value: object) -> str:
    """`hint` with each `<example>` replaced by `value`, or by the example itself."""
    return _EXAMPLE.sub(lambda found: _like(found[1], value), hint)


def _like(example: str, value: object) -> str:
    if isinstance(value, Expanded):
        value = None if value.secret else value.written
    for fits, made in _FORMS.items():
        if re.fullmatch(fits, example, re.DOTALL):
            return made(example, value) or example
    return example


def _url(example: str, value: object) -> str:
    for leaf in _leaves(value):
        if example.endswith('/new"') and re.fullmatch(r"/[^\s\"$;]*", leaf):
            return f'"{leaf}"'
        if (found := _URL.match(leaf)) is not None:
            text = found[0].rstrip("/") if leaf.count("/") == 3 else found[0]
            scheme = example[1:].partition("://")[0]
            text = values.translated(text if "://" in text else f"{scheme}://{text}")
            return f'"{without_secrets(text)}"' if text else ""
    return ""


def _servers(example: str, value: object) -> str:
    several = value if isinstance(value, list) else [value]
    made = [_url('"http://', item) for item in several]
    return f"[{', '.join(made)}]" if made and all(made) else ""


def _path(example: str, value: object) -> str:
    fits = (leaf for leaf in _leaves(value) if re.fullmatch(r"/[^\s\"$;{]*", leaf))
    return next((f'"{leaf}"' for leaf in fits), "")


def duration(value: object) -> str:
    """ "5 sec", 5 or "5000" as a duration of ours, "" if it is none."""
    if isinstance(value, bool):
        return ""
    text = re.sub(r"(?<=\d)\s*(sec|min|hour|milli)\w*$", lambda m: _LONG[m[1]], str(value))
    if _DIGITS.fullmatch(text):  # seconds, or the milliseconds of Kong and of Envoy's older fields
        text = f"{text}s" if int(text) < 1000 else f"{text}ms"
        text = re.sub(r"000ms$", "s", text)
    return f'"{text}"' if _DURATION.fullmatch(text) else ""


def size(value: object) -> str:
    """ "20m" or 20 (which are MiB) as a size of ours, "" if it is none."""
    if isinstance(value, int) and 0 < value < 4096 and not isinstance(value, bool):
        return f'"{value}MiB"'
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    return f'"{found[1]}{found[2].upper()}iB"' if found else ""


def _number(example: str, value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number or (isinstance(value, str) and _DIGITS.fullmatch(value)) else ""


def _words(example: str, value: object) -> str:
    several = value if isinstance(value, list) else [value]
    if not several or not all(isinstance(v, str) and _TOKEN.fullmatch(v) for v in several):
        return ""
    return "[" + ", ".join(f'"{v}"' for v in several) + "]"


def _name(example: str, value: object) -> str:
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    fits = isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9_.*-]+", value)
    return f'"{value}"' if fits else ""


def _address(example: str, value: object) -> str:
    value = value[0] if isinstance(value, list) and len(value) == 1 else value
    if _number(example, value):
        return f'":{value}"'
    found = re.match(r"(?:\*|0\.0\.0\.0)?(:\d+)$", value) if isinstance(value, str) else None
    return f'"{found[1]}"' if found else ""


def _fields(example: str, value: object) -> str:
    """Names of headers; their values may be secret."""
    if not isinstance(value, dict) or not value or not all(map(_TOKEN.fullmatch, value)):
        return ""
    return "{ " + ", ".join(f'{name} = "…"' for name in value) + " }"


def _leaves(value: object) -> Iterator[str]:
    """The texts of a value: itself, or those in a table of another program."""
    if isinstance(value, str) and not isinstance(value, Expanded):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)


_LONG = {"sec": "s", "min": "m", "hour": "h", "milli": "ms"}
_FORMS = {
    r'"[a-z+]+://.*': _url,
    r'"/.*': _path,
    r'"\d+(?:ms|s)"': lambda _, value: duration(value),
    r'"\d+[KMG]iB"': lambda _, value: size(value),
    r"[\d.]+": _number,
    r'\["[a-z]+://.*': _servers,
    r'\["[A-Z]+"\]': _words,
    r'":\d+"': _address,
    r"\{ [a-z-]+ = .*": _fields,
    r'"[a-z][a-z.]+"': _name,
}
