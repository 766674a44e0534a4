"""Paths and rules in the notations of others, and the pattern that says the same here.

~ ^/v[0-9]+    = /a    ^~ /a/      nginx's location
/users/:id     /files/*rest        Express, Gin, Caddy's named matchers
/files/{rest...}    {id:[0-9]+}    Go, gorilla/mux, FastAPI
/users/<int:id>                    Flask
/api/**                            Spring, APISIX
Host(`a`) && PathPrefix(`/b`)      Traefik
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_CALL = re.compile(r"(\w+)\(([^()]*)\)")
_QUOTED = re.compile(r"[`'\"]([^`'\"]*)[`'\"]")
_NGINX = re.compile(r"(~\*?(?=\s)|~\*|(?:=|\^~)(?=\s*/))\s*(.*)", re.DOTALL)
_COLON = re.compile(r":([A-Za-z_]\w*)")
_ANGLE = re.compile(r"<(?:(\w+):)?([A-Za-z_]\w*)>")
_REST = re.compile(
    r"\{\*\*?(\w*)\}|\{(\w*)(?:\.\.\.|\*\*?|=\*\*|:path|:\.[*+])\}|\*\*|\*[A-Za-z_]\w*|<path:(\w+)>"
)
_TYPED = re.compile(r"\{([A-Za-z_]\w*)[:=](.+)\}")
_TYPES = {"int": "[0-9]+", "uuid": "[0-9a-f-]+", "float": "[0-9.]+"}


def written_here(path: str) -> tuple[str, str] | None:
    """What is wrong with a path in a foreign notation, and the remedy; None if it is in ours."""
    if path.startswith(("http://", "https://")):
        host, slash, rest = path.partition("://")[2].partition("/")
        return (
            "a path has no scheme and host",
            f'write host = "{host}", path = "{slash + rest or "/*"}"',
        )
    if (found := _NGINX.fullmatch(path)) is not None:
        return _nginx(found[1], found[2])
    if path.startswith("^"):
        return "this looks like a regular expression, which begins with `~`", f'write "~{path}"'
    if _CALL.match(path):
        return "a rule is not a path", rule(path)
    if path.startswith("~") or not path.startswith("/"):
        return None
    path, question, query = path.partition("?")
    if question:
        return "the query is no part of a path", _query(path, query)
    return _segments(path)


def rule(text: str) -> str:
    """What to write for a rule of Traefik: "Host(`a`) && PathPrefix(`/b`)"."""
    said: dict[str, str] = {}
    for name, arguments in _CALL.findall(text):
        values = _QUOTED.findall(arguments)
        if values and (made := _condition(name.lower(), values)) is not None:
            said.setdefault(*made)
    if not said:
        return 'write host = "shop.example", path = "/a/*"'
    both = "; one route for each side of ||" if "||" in text else ""
    return "write " + ", ".join(f"{key} = {value}" for key, value in said.items()) + both


def location(text: str) -> str:
    """What to write for what stands behind nginx's `location`, Caddy's `handle` and their kind."""
    if (found := _NGINX.fullmatch(text)) is not None:
        return f"write path = {_quoted(_pattern(found[1], found[2]))}"
    if not text.startswith("/"):
        return ""
    return f"write path = {_quoted(_below(text))}"


def match(table: Mapping[str, object]) -> str:
    """What to write for Envoy's `match = { prefix = "/a" }`."""
    for key in ("prefix", "path_separated_prefix"):
        if isinstance(prefix := table.get(key), str):
            return f"write path = {_quoted(_below(prefix))}"
    if isinstance(path := table.get("path"), str):
        return f"write path = {_quoted(path)}"
    regex = table.get("safe_regex")
    regex = regex.get("regex") if isinstance(regex, dict) else regex
    return f"write path = {_quoted(f'~{regex}')}" if isinstance(regex, str) else ""


def _nginx(sign: str, rest: str) -> tuple[str, str]:
    if sign.startswith("~"):
        message = "the expression begins right behind `~`, and this one can never match"
    else:
        message = f"`{sign}` is nginx's, and no part of a path"
    return message, f"write {_quoted(_pattern(sign, rest))}"


def _pattern(sign: str, rest: str) -> str:
    if sign == "=":
        return rest
    if sign == "^~":
        return _below(rest)
    rest = rest if rest.startswith(("^", "/")) else f".*{rest}"
    rest = f"(?i){rest}" if sign == "~*" else rest
    # nginx looks for a part, here it is the whole path.
    return f"~{rest}" if rest.endswith("$") else f"~{rest}.*"


def _below(path: str) -> str:
    return path if path.endswith("*") else path.rstrip("/") + "/*"


def _query(path: str, query: str) -> str:
    name, _, value = query.partition("&")[0].partition("=")
    if not re.fullmatch(r"[\w-]+", name):
        return f'write path = "{path}" and when = {{ query = {{ … }} }}'
    return f'write path = "{path}" and when = {{ query = {{ {name} = "{value or "*"}" }} }}'


def _segments(path: str) -> tuple[str, str] | None:
    segments = path.split("/")[1:]
    if _REST.fullmatch(segments[-1]):
        captured = re.sub(r"[^\w]|path", "", segments[-1])
        more = f"; {{*}} is what you call {captured}" if captured else ""
        return (
            "the rest of a path is `*`, at its end",
            f'write "{path.removesuffix(segments[-1])}*"{more}',
        )
    ours = [_segment(segment) for segment in segments]
    if ours == segments:
        return None
    made = "/" + "/".join(ours)
    if any("(?P<" in segment for segment in ours):
        made = "~/" + "/".join(re.sub(r"^\{(\w+)\}$", r"(?P<\1>[^/]+)", s) for s in ours)
    return "a capture is {name}, a whole segment", f"write {_quoted(made)}"


def _segment(segment: str) -> str:
    if (found := _COLON.fullmatch(segment)) is not None:
        return f"{{{found[1]}}}"
    if (found := _ANGLE.fullmatch(segment)) is not None:
        kind = _TYPES.get(found[1] or "")
        return f"(?P<{found[2]}>{kind})" if kind else f"{{{found[2]}}}"
    if (found := _TYPED.fullmatch(segment)) is not None:
        return f"(?P<{found[1]}>{_TYPES.get(found[2], found[2])})"
    return segment


def _condition(name: str, values: list[str]) -> tuple[str, str] | None:
    """A matcher of Traefik as a key and its value here."""
    some = [f'"{value}"' for value in values]
    several = some[0] if len(some) == 1 else f"[{', '.join(some)}]"
    if name in ("host", "hostsni", "hostheader"):
        return "host", several
    if name == "hostregexp":
        return "host", '"*.example.com"'
    if name == "pathprefix":
        return "path", _quoted(_below(values[0]))
    if name == "path":
        return "path", some[0]
    if name == "pathregexp":
        return "path", _quoted(f"~{values[0]}")
    if name == "method":
        return "when.method", several
    if name in ("header", "headers", "query") and len(values) == 2:
        return f"when.{name.removesuffix('s')}", f"{{ {values[0]} = {some[1]} }}"
    return None


def _quoted(text: str) -> str:
    """As a string of TOML."""
    return f"'{text}'" if "\\" in text else f'"{text}"'
