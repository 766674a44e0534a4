"""The server that `[auth.NAME.forward]` asks, as an upstream, and what must hold of the table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from proxy.config.access_model import Forward

if TYPE_CHECKING:  # workers report nothing
    from proxy.config.locate import Path
    from proxy.config.model import Config
    from proxy.config.report import Report

_TO = re.compile(r"(https?)://([^/?#@\s]+)(/[!-\"$-~]*|\?[!-\"$-~]*)?", re.IGNORECASE)
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_KINDS = ("method", "path", "host", "client")
# Where a message ends, where it goes and whose trace it is part of is not for others to say.
_NOT_COPIED = frozenset(
    {
        *("host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade"),
        *("keep-alive", "expect", "proxy-connection", "proxy-authorization", "http2-settings"),
        *("traceparent", "tracestate", "baggage", "b3", "forwarded", "via", "x-request-id"),
        "set-cookie",
    }
)
_TOLD = ("x-forwarded-", "x-b3-")
_CREDENTIALS = {"header:authorization", "header:cookie"}
_HARMLESS = {
    *("header:accept", "header:accept-language", "header:accept-encoding", "header:user-agent"),
    *("header:referer", "header:origin"),
}


def server_of(to: str) -> str:
    """ "http://host:port/path" -> "http://host:port"; "" if that is no URL of a question."""
    found = _TO.fullmatch(to)
    return f"{found[1].lower()}://{found[2]}" if found else ""


def path_of(to: str) -> str:
    """The path and query of it, as it is asked for."""
    found = _TO.fullmatch(to)
    path = (found[3] or "") if found else ""
    return path if path.startswith("/") else f"/{path}"


def upstream_of(name: str, to: str) -> tuple[str, ...]:
    """The upstreams that may be asked for the check `name`, of which the first counts that is
    there: that of its server, which is made of `to`, else one that is called like its host."""
    found = _TO.fullmatch(to)
    return (f"auth.{name}"[:63], found[2] if found else "")


def asked_by_checks(config: Config) -> set[str]:
    """The names of the upstreams that checks ask."""
    names: set[str] = set()
    for name, auth in config.auth.items():
        if auth is not None and auth.forward is not None:
            names.update(upstream_of(name, auth.forward.to))
    return names


def check(said: Forward, place: Path, report: Report) -> None:
    """Report what cannot work, and what is dangerous; `place` is that of the table."""
    if not said.to:
        remedy = 'write to = "http://127.0.0.1:9000/verify"'
        report.error((*place, "to"), "`forward` says nobody who is asked", remedy)
    elif not _TO.fullmatch(said.to) and not report.is_broken(*place, "to"):
        report.error((*place, "to"), *_no_question(said.to))
    if not said.timeout:
        message = "a question without a limit holds requests for ever"
        report.error((*place, "timeout"), message, 'write timeout = "1s"')
    _names(said, place, report)
    _cache(said, place, report)


def _no_question(to: str) -> tuple[str, str]:
    shown = 'write to = "http://127.0.0.1:9000/verify"'
    if "@" in to.partition("?")[0]:
        return "the URL of a question carries no user or password", f"{shown}, and ask by `send`"
    if "#" in to:
        return f"{to!r} has a fragment, which no server sees", "leave out what begins with #"
    if "://" in to and not to.lower().startswith(("http://", "https://")):
        return f"{to.partition('://')[0]}:// is no way to ask", shown
    return f"{to!r} is not the URL of a question", shown


def _names(said: Forward, place: Path, report: Report) -> None:
    places: list[tuple[Path, str]] = [(("headers", i), name) for i, name in enumerate(said.headers)]
    places += [(("attributes", key), name) for key, name in said.attributes.items()]
    places += [(("send", i), name) for i, name in enumerate(said.send)]
    for where, name in places:
        if not _NAME.fullmatch(name):
            remedy = 'write the name of a header field: "x-user"'
            report.error((*place, *where), f"{name!r} is no name of a field", remedy)
        elif where[0] == "headers" and _is_own(name.lower()):
            remedy = "leave it out: the gateway itself writes it"
            report.error((*place, *where), f"{name} cannot be set by an answer", remedy)
    for i, name in enumerate(said.cookies):
        if not _NAME.fullmatch(name):
            remedy = 'write the name of a cookie: "session"'
            report.error((*place, "cookies", i), f"{name!r} is no name of a cookie", remedy)


def _is_own(name: str) -> bool:
    dashed = name.replace("_", "-")
    return dashed in _NOT_COPIED or dashed.startswith(_TOLD)


def _cache(said: Forward, place: Path, report: Report) -> None:
    for i, part in enumerate(said.cache_key):
        kind, _, name = part.partition(":")
        named = kind in ("header", "cookie") and _NAME.fullmatch(name)
        if not named and part not in _KINDS:
            remedy = 'write "header:NAME", "cookie:NAME", "method", "path", "host" or "client"'
            report.error((*place, "cache_key", i), f"{part!r} is nothing of a request", remedy)
    if not said.cache or not said.cache_key:
        if said.cache:
            message = "with an empty cache_key one answer counts for everybody"
            report.error((*place, "cache_key"), message, 'write ["header:authorization", …]')
        return
    if lacking := _lacking(said):
        message = f"answers are remembered without {' and '.join(lacking)}, which the server sees"
        remedy = "one caller may get the answer of another: add it to cache_key, or limit `send`"
        report.warn((*place, "cache_key"), message, remedy)


def _lacking(said: Forward) -> list[str]:
    """Credentials that the server sees and by which answers are not told apart."""
    key = {part.lower() for part in said.cache_key}
    sent = {f"header:{name.lower()}" for name in said.send} or _CREDENTIALS
    if any(part.startswith("cookie:") for part in key):
        sent = sent - {"header:cookie"}
    return sorted(part for part in sent if part not in key and part not in _HARMLESS)
