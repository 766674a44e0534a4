"""The configuration as its file says it, without secrets: for pages that show it.

Hidden are the values that `secrets.py` names, by their place in the file, and all comments, in
which old passwords stay behind. References (`${NAME}`, `${file:…}`) are shown as they are written.
What cannot be read as TOML is not shown at all, for nobody knows where in it a secret stands.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterator

from proxy.config.locate import Path, dotted, marked
from proxy.config.secrets import REDACTED, is_edited, is_secret, without_secrets

_KEY_OR_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|[ \t]*#[^\n]*')


def veiled(text: str, unknown: Collection[str] = ()) -> str:
    """The text with the same lines, "" if it is no TOML. `unknown`: dotted keys that the model
    does not have, of which nobody knows whether they are secret, so that they are hidden."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    try:
        tomllib.loads(text)
        values, _ = marked(text)
        return "".join(_pieces(text, values, unknown))
    except (ValueError, RecursionError):
        return ""


def _pieces(
    text: str, values: list[tuple[Path, int, int]], unknown: Collection[str]
) -> Iterator[str]:
    end = 0
    for path, start, stop in values:
        token = text[start:stop]
        if token[:1] in ("[", "{"):
            continue  # what is in it came before it
        yield _between(text[end:start])
        yield _value(path, token.rstrip(), unknown)
        end = start + len(token.rstrip())
    yield _between(text[end:])


def _between(text: str) -> str:
    """Keys and signs: without comments, and without the passwords of URLs that are keys."""
    return _KEY_OR_COMMENT.sub(_key, text)


def _key(found: re.Match[str]) -> str:
    return "" if found[0].lstrip()[0] == "#" else _string(found[0])


def _value(path: Path, token: str, unknown: Collection[str]) -> str:
    if _is_hidden(path) or (unknown and _is_below(path, unknown)):
        return f'"{REDACTED}"' + "\n" * token.count("\n")
    return _string(token) if token[:1] in ('"', "'") else token


def _string(token: str) -> str:
    said = str(tomllib.loads(f"k = {token}")["k"])
    clean = without_secrets(said)
    return token if clean == said else json.dumps(clean) + "\n" * token.count("\n")


def _is_hidden(path: Path) -> bool:
    try:
        return is_secret(path) or is_edited(path)
    except IndexError:  # of a table that the model has elsewhere
        return False


def _is_below(path: Path, unknown: Collection[str]) -> bool:
    return any(dotted(path[:n]) in unknown for n in range(1, len(path) + 1))


def blocks(text: str, name: str) -> list[str]:
    """The text of each element of the array of tables `name`, with the tables below it; of a
    valid TOML document. A `[name]` alone is one element, and so is each of `name = [{…}]`."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    values, headers = marked(text)
    found: dict[int, list[str]] = {}
    ends = [*[start for _, start in headers][1:], len(text)] if headers else []
    for (path, start), end in zip(headers, ends, strict=True):
        if path[0] == name:
            index = path[1] if len(path) > 1 and isinstance(path[1], int) else 0
            found.setdefault(index, []).append(text[start:end].strip())
    for path, start, stop in values:
        if len(path) == 2 and path[0] == name and isinstance(path[1], int):
            found.setdefault(path[1], []).append(text[start:stop].strip())
    return [_even("\n\n".join(found[index])) for index in sorted(found)]


def _even(text: str) -> str:
    """Comments that were taken out leave no gaps behind."""
    return re.sub(r"\n{3,}", "\n\n", text)
