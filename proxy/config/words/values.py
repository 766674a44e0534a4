"""Values that mean something to another program and are plain text here, or can never match."""

from __future__ import annotations

import re

Told = tuple[str, str]  # what is wrong, what to write

# nginx's, Caddy's, HAProxy's, Envoy's and Apache's, and what is meant by them.
_VARIABLE = re.compile(
    r"\$\{?(?P<nginx>(?:request_uri|uri|host|http_\w+|server_name|scheme|remote_addr|args|arg_\w+"
    r"|is_args|query_string|proxy_\w+|request_\w+|realip_\w+|ssl_\w+|upstream_\w+|connection_\w+"
    r"|document_uri|server_port|remote_port|time_\w+|cookie_\w+|content_\w+|hostname|msec)\b)\}?"
    r"|\{(?P<caddy>http\.[\w.]+|(?:remote|client)(?:_host|_ip|_port)?|host(?:port)?|uri|scheme"
    r"|upstream_hostport|query|method|env\.\w+)\}"
    r"|%\[(?P<haproxy>[\w.(),-]+)\]"
    r"|%(?P<envoy>[A-Z_]{4,}(?:\([^)]*\))?)%"
    r"|%\{(?P<apache>[\w:.-]+)\}"
)
_GROUP = re.compile(r"\$\{?(\d)\}?|\\(\d)|\\g<(\w+)>")
_COLON = re.compile(r"(?<=/):([A-Za-z_]\w*)")
_MEANT = (
    (r"(?:request_)?uri|document_uri|http\.request\.uri|path|url|REQ\(:PATH\)", "{path}"),
    (r"args|query_string|query|http\.request\.uri\.query", "{query}"),
    (r"host|server_name|http\.request\.host|AUTHORITY", "{host}"),
)
_BY_ITSELF = (
    (r"remote|client|src|x_forwarded_for|REMOTE", "X-Forwarded-For is sent by itself"),
    (r"scheme|PROTOCOL|ssl_fc", "X-Forwarded-Proto is sent by itself"),
    (r"request_id|REQUEST_ID", "X-Request-Id is sent by itself"),
    (r"host|server_name|AUTHORITY", "Host is passed on by itself, X-Forwarded-Host too"),
    (r"trace|TRACE", "the trace context is sent by itself"),
)

_OURS = ("{path}", "{query}", "{host}")


def placeholder(text: str) -> Told | None:
    """What is wrong with a redirect or rewrite that has a placeholder of another program."""
    if (found := _GROUP.search(text)) is not None:
        name = found[3] or "name"
        remedy = (
            f"write {{{name}}} for a capture of the route's path, {{*}} for what /* left,"
            " {path} for all of it"
        )
        return f"{found[0]} is taken literally", remedy
    if (colon := _COLON.search(text)) is not None:
        return f":{colon[1]} is taken literally", f"write {{{colon[1]}}}"
    found = next((f for f in _VARIABLE.finditer(text) if f[0] not in _OURS), None)
    if found is None:
        return None
    meant = _meaning(found, _MEANT)
    return f"{found[0]} is taken literally", f"write {meant or '{path}, {query} or a capture'}"


def variable(text: str) -> Told | None:
    """The same for a value of a header, in which nothing is filled in."""
    if (found := _VARIABLE.search(text)) is None:
        return None
    name = next(group for group in found.groups() if group)
    if name.startswith("env."):
        return f"{found[0]} is sent literally", f"write ${{{name[4:]}}}"
    known = _meaning(found, _BY_ITSELF)
    return f"{found[0]} is sent literally: nothing is filled in here", known or "write a fixed text"


def translated(text: str) -> str:
    """A URL in which variables of others stand, in our placeholders; "" if one has none."""
    made = _VARIABLE.sub(lambda found: _meaning(found, _MEANT) or "$", text)
    return "" if "$" in made else made


def reference(name: str) -> str:
    """For ${path} in a redirect or rewrite, where a part of the request is meant."""
    found = _VARIABLE.fullmatch(f"${{{name}}}")
    return (_meaning(found, _MEANT) if found else "") or f"{{{name}}}"


def host_name(text: str) -> str:
    """The host of a URL or authority, as a route names it."""
    if text.startswith(("~", "^")):
        return 'write names, or "*.example.com" for all below'
    found = re.fullmatch(r"(?:\w+://)?([A-Za-z0-9_.*-]+)\.?(?::\d+)?(?:/.*)?", text)
    name = found[1].rstrip(".") if found else ""
    return f'write "{name}"' if name and name != text else ""


def address(text: str) -> str:
    """What to listen on, for an address in the words of another program."""
    if re.search(r"\b(?:ssl|tls|quic|http2)\b|^https:", text):
        return (
            'write the address alone, and tls = { cert = "edge.pem", key = "edge.key" } beside it'
        )
    if (found := re.search(r"\{?\$\{?(\w+)\}?", text)) is not None:
        return f'write ":${{{found[1]}}}"'
    found = re.fullmatch(r"(?:\w+://)?(\*|0\.0\.0\.0)?(?::(\d+))?(?:/\w*)?(?: .*)?", text)
    if found is not None and (found[1] or found[2]):
        return f'write ":{found[2] or "8080"}"'
    return f'write "{text}:8080"' if re.fullmatch(r"[\w.-]+|\[[\w:]+\]", text) else ""


def server_url(text: str) -> str:
    """For a server without its scheme: "localhost:8000", "10.0.0.1"."""
    if re.fullmatch(r"[A-Za-z0-9_.-]+:\d+/?|\d+(?:\.\d+){3}|\[[0-9a-fA-F:]+\](?::\d+)?", text):
        return f'write "http://{text}"'
    return ""


def _meaning(found: re.Match[str], meanings: tuple[tuple[str, str], ...]) -> str:
    name = next(group for group in found.groups() if group)
    for pattern, meant in meanings:
        if re.search(rf"(?:{pattern})", name):
            return meant
    return ""


def never_a_path(regex: str) -> Told | None:
    """Why a regular expression fits no path, as far as that is plain to see; None if it may.

    The whole path must match. It begins with "/", is normal (no "//", percent-encodings in upper
    case), and holds neither a query nor a fragment nor a backslash.
    """
    body = regex.removeprefix("^")
    if "|" in body:
        return None  # one of the sides may do
    for sign, why, remedy in _NEVER:
        if re.search(sign, body):
            return why, remedy.replace("REGEX", _one(regex))
    first = re.match(r"(?:\((?!\?)|\(\?:|\(\?P<\w+>|\(\?[aimsux]+\))*(\\?.)(.?)", body, re.DOTALL)
    if first is None or first[2] in ("?", "*", "{"):
        return None
    if re.fullmatch(r"\\[dws.-]|[A-Za-z0-9_~ -]", first[1]):
        return 'a path begins with "/"', f"write {_quoted('~/' + body.lstrip())}"
    return None


_NEVER = (
    (
        r"\\\\",
        "no path has a backslash in it",
        "in single quotes a backslash stands for itself: write '~REGEX'",
    ),
    (r"\\\?", "the query is no part of a path", 'write when = { query = { name = "value" } }'),
    (r"(?<!\(\?)#", "no path has a # in it", "leave it out"),
    (r"(?<!:)//", "slashes are merged before", "write one slash"),
    (
        r"%(?:[a-f][0-9a-fA-F]|[0-9][a-f])",
        "percent-encodings are in upper case here",
        "write %2F for %2f",
    ),
)


def _one(regex: str) -> str:
    return regex.replace("\\\\", "\\")


def _quoted(text: str) -> str:
    return f"'{text}'" if "\\" in text else f'"{text}"'
