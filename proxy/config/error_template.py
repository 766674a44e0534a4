"""A page for failures: text with placeholders, taken apart once, and put together for an answer.

`{status}`, `{reason}`, `{detail}`, `{trace_id}`, `{request_id}` and `{retry_after}` are filled in;
`{{status}}` is `{status}` as it stands. All other braces are the page's own, so that styles and
scripts need no care. What is filled in may hold what a client has sent: it is escaped for the kind
of page that it goes into, whatever stands around it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Literal

Kind = Literal["html", "json", "text"]
Parts = tuple[tuple[str, str], ...]  # (text, name of what follows it), "" = the end

NAMES = ("status", "reason", "detail", "trace_id", "request_id", "retry_after")
MOST = 256 * 1024  # bytes of a page

_PLACE = re.compile(r"\{\{([a-z_]+)\}\}|\{([a-z_]+)\}")
_HARMLESS = re.compile(r"[^\w ,.:;()/-]")  # beside these, HTML gets numbers
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_SAMPLE = {**dict.fromkeys(NAMES, "x"), "status": "503"}


def kind_of(path: str) -> Kind:
    """What a file holds, by its name."""
    ending = path.lower().rpartition(".")[2]
    return "html" if ending in ("html", "htm", "xhtml") else "json" if ending == "json" else "text"


def parse(data: bytes, kind: Kind) -> Parts:
    """Take a page apart. ValueError, in words with the remedy, for one that cannot be shown."""
    if len(data) > MOST:
        raise ValueError(f"it has more than {MOST // 1024} KiB: link to pictures and styles")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8: save it as UTF-8") from None
    if not text.strip():
        raise ValueError("it is empty: leave the key out for the gateway's own answer")
    parts = _split(text)
    if kind == "json":
        _check_json(parts)
    return parts


def render(parts: Parts, kind: Kind, values: Mapping[str, str]) -> bytes:
    """The page with `values` (by NAMES) in it, escaped."""
    escape = _ESCAPES[kind]
    made = [text + escape(values[name]) if name else text for text, name in parts]
    return "".join(made).encode("utf-8", "replace")


def _split(text: str) -> Parts:
    parts: list[tuple[str, str]] = []
    before, start = "", 0
    for match in _PLACE.finditer(text):
        before += text[start : match.start()]
        start = match.end()
        if match[1]:
            before += f"{{{match[1]}}}"
            continue
        if match[2] not in NAMES:
            known = ", ".join(f"{{{name}}}" for name in NAMES)
            line = text.count("\n", 0, match.start()) + 1
            message = f"line {line}: nothing is known for {{{match[2]}}}: there are {known}"
            raise ValueError(f"{message}; for these very letters write {{{{{match[2]}}}}}")
        parts.append((before, match[2]))
        before = ""
    parts.append((before + text[start:], ""))
    return tuple(parts)


def _check_json(parts: Parts) -> None:
    """Whatever is filled in, it must be JSON; some of it may be empty."""
    for values in (_SAMPLE, {**dict.fromkeys(NAMES, ""), "status": "503"}):
        try:
            json.loads(render(parts, "json", values))
        except (ValueError, RecursionError) as error:
            remedy = 'placeholders but {status} stand in quotes: "{detail}"'
            raise ValueError(f"it is not JSON ({error}): {remedy}") from None


def _for_html(value: str) -> str:
    """For text and for values of attributes, also where they have no quotes."""
    return _HARMLESS.sub(lambda match: f"&#{ord(match[0])};", _for_text(value))


def _for_json(value: str) -> str:
    return json.dumps(_for_text(value))[1:-1].replace("<", "\\u003c").replace(">", "\\u003e")


def _for_text(value: str) -> str:
    return _CONTROL.sub(" ", value)


_ESCAPES = {"html": _for_html, "json": _for_json, "text": _for_text}
