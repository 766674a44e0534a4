"""Filters of a rule, as keys of a route. What has no such key is Unsupported by its name: a filter
is never passed over, since it may be what keeps requests away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from proxy.config.check_routes import FRAMING
from proxy.config.model import Config
from proxy.config.own_fields import own_fields
from proxy.config.syntax import is_authority, is_field_value, is_token
from proxy.sources.kubernetes.matches import Match, Unsupported
from proxy.sources.kubernetes.objects import (
    CorsRule,
    Edits,
    Field,
    Filter,
    MirrorTo,
    PathChange,
    Redirect,
    UrlRewrite,
)

Table = dict[str, Any]
USUAL = {"http": 80, "https": 443}
STATUSES = (301, 302, 303, 307, 308)
OWN = frozenset(own_fields(Config()))  # written by the gateway alone, whatever a route says


class Way(NamedTuple):
    """How requests come to a rule."""

    scheme: str  # of the listener
    port: int  # of the listener, as clients see it


Mirror = Callable[[MirrorTo], str]  # the upstream; Unsupported if there is none


def apply(filters: Sequence[Filter], match: Match, way: Way, mirror: Mirror) -> list[Table]:
    """The keys that they are, of one table for each path that is to be a route of its own; each
    may have its own `path`. Unsupported for what cannot be done."""
    made: Table = {}
    redirects: list[Table] = []
    seen: set[str] = set()
    for one in filters:
        if one.type in seen:
            raise Unsupported(f"several filters of type {one.type} are not supported")
        seen.add(one.type)
        if one.type == "RequestRedirect":
            redirects = _redirect(_said(one.request_redirect, one), match, way)
        else:
            _put(one, match, made, mirror)
    if redirects and "URLRewrite" in seen:
        raise Unsupported("RequestRedirect and URLRewrite exclude each other")
    return [{**made, **keys} for keys in redirects or [{}]]


def _put(one: Filter, match: Match, made: Table, mirror: Mirror) -> None:
    if one.type == "RequestHeaderModifier":
        edits = _said(one.request_header_modifier, one)
        host, keys = _edits(edits, FRAMING | OWN, may_set_host=True)
        made.setdefault("headers", {})["request"] = keys
        if host:
            made.setdefault("host_header", host)
    elif one.type == "ResponseHeaderModifier":
        edits = _said(one.response_header_modifier, one)
        made.setdefault("headers", {})["response"] = _edits(edits, FRAMING)[1]
    elif one.type == "URLRewrite":
        made.update(_rewrite(_said(one.url_rewrite, one), match))
    elif one.type == "RequestMirror":
        said = _said(one.request_mirror, one)
        made["mirror"] = {"to": mirror(said), "share": _share(said)}
        if not made["mirror"]["share"]:
            del made["mirror"]
    elif one.type == "CORS":
        made["cors"] = _cors(_said(one.cors, one))
    else:
        raise Unsupported(f"filter {one.type or 'without a type'} is not supported")


def _said(value: Any, one: Filter) -> Any:
    if value is None:
        raise Unsupported(f"filter {one.type} says nothing")
    return value


def _edits(
    edits: Edits, forbidden: frozenset[str], may_set_host: bool = False
) -> tuple[str, Table]:
    """(the Host that is set, the edits)."""
    host = ""
    made: Table = {"set": {}, "add": {}, "remove": []}
    for kind, fields in (("set", edits.set), ("add", edits.add)):
        for field in fields:
            name = field.name.lower()
            if name == "host" and kind == "set" and may_set_host:
                host = host or _authority(field.value)
                continue
            _check(field, forbidden)
            known = {other.lower() for other in made[kind]}
            if name not in known:  # of several with one name the first counts
                made[kind][field.name] = field.value
    for name in edits.remove:
        _check(Field(name, ""), forbidden)
        made["remove"].append(name)
    return host, {kind: value for kind, value in made.items() if value}


def _check(field: Field, forbidden: frozenset[str]) -> None:
    if not is_token(field.name):
        raise Unsupported(f"{field.name!r} is no name of a header field")
    if field.name.lower() in forbidden or field.name.lower() == "host":
        raise Unsupported(f"header field {field.name} is the gateway's own")
    if not is_field_value(field.value):
        raise Unsupported(f"header field {field.name}: its value cannot be sent")


def _rewrite(said: UrlRewrite, match: Match) -> Table:
    made: Table = {}
    if said.hostname:
        made["host_header"] = _authority(said.hostname)
    if said.path is not None:
        made["rewrite"] = _new_path(said.path, match)
    return made


def _new_path(said: PathChange, match: Match) -> Table:
    if said.type == "ReplaceFullPath":
        path = _plain(said.replace_full_path or "/")
        return {"path": path.replace("*", "%2A")}
    if said.type != "ReplacePrefixMatch":
        raise Unsupported(f"path of type {said.type} is not supported")
    prefix = _prefix(said, match)
    if match.path.startswith("~"):
        return {"path": prefix + "{rest}" if prefix else "{rest}"}
    return {"prefix": prefix or "/"}


def _prefix(said: PathChange, match: Match) -> str:
    """What comes in the place of the matched prefix, without a slash at its end."""
    if match.prefix is None:
        raise Unsupported("ReplacePrefixMatch needs a match of type PathPrefix")
    return _plain(said.replace_prefix_match or "/").rstrip("/")


def _plain(path: str) -> str:
    """Literal text where braces would name captures."""
    if not path.startswith("/"):
        raise Unsupported(f"path {path!r} does not begin with a slash")
    return quote(path, safe="!$&'()*+,;=:@/%-._~")


def _redirect(said: Redirect, match: Match, way: Way) -> list[Table]:
    """Tables with `redirect`; two where the prefix alone leads to "/"."""
    status = said.status_code
    if status not in STATUSES:
        raise Unsupported(f"a redirect with status {status} is not supported")
    origin = _origin(said, way)

    def table(path: str) -> Table:
        return {"redirect": {"to": origin + path, "status": status}}

    if said.path is None:
        return [table("{path}")]
    if said.path.type == "ReplaceFullPath":
        return [table(_plain(said.path.replace_full_path or "/"))]
    if said.path.type != "ReplacePrefixMatch":
        raise Unsupported(f"path of type {said.path.type} is not supported")
    prefix = _prefix(said.path, match)
    rest = "{rest}" if match.path.startswith("~") else "{*}"
    if prefix or not match.prefix or rest != "{*}":
        return [table(prefix + rest)]
    # "/foo" -> "/": nothing is left of the path, and a Location should have one
    return [{**table("/"), "path": match.prefix}, table(rest)]


def _origin(said: Redirect, way: Way) -> str:
    scheme = said.scheme or way.scheme
    if scheme not in USUAL:
        raise Unsupported(f"a redirect to scheme {scheme} is not supported")
    port = said.port or (USUAL[scheme] if said.scheme else way.port)
    if not 0 < port < 65536:
        raise Unsupported(f"{port} is no port")
    host = _authority(said.hostname) if said.hostname else "{host}"
    return f"{scheme}://{host}{'' if port == USUAL[scheme] else f':{port}'}"


def _authority(host: str) -> str:
    if not is_authority(host):
        raise Unsupported(f"{host!r} is no host")
    return host


def _share(said: MirrorTo) -> float:
    if said.percent is not None:
        return min(max(said.percent, 0), 100) / 100
    if said.fraction is None:
        return 1.0
    if said.fraction.denominator <= 0 or said.fraction.numerator < 0:
        raise Unsupported("the fraction of RequestMirror is none")
    return min(said.fraction.numerator / said.fraction.denominator, 1.0)


def _cors(said: CorsRule) -> Table:
    made: Table = {"origins": list(said.allow_origins), "credentials": said.allow_credentials}
    made["methods"] = list(said.allow_methods) or ["GET", "HEAD", "POST"]
    made["headers"], made["expose"] = list(said.allow_headers), list(said.expose_headers)
    if not said.allow_origins:
        raise Unsupported("filter CORS without allowOrigins allows nothing")
    if "*" in said.allow_origins and said.allow_credentials:
        raise Unsupported("filter CORS: credentials for any origin are not supported")
    made["max_age"] = f"{max(said.max_age, 0)}s"
    return made
