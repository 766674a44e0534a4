"""Short forms become long ones, so that everything behind this sees one shape.

    [route]                          [[route]], where there is only one
    listen = ":8080", listen = 8080  listen = [{ address = ":8080" }]
    host = "a", when.method = "GET"  lists of one
    to = "orders"                    to = { orders = 1 }
    to = "http://10.0.0.1:8000"      an upstream of that one server, named after it
    servers = ["http://a", …]        servers = { "http://a" = 1, … }
    upstream.orders = "http://a"     upstream.orders = { servers = "http://a" }, or a list
    export.otlp = "grpc://…"         a list of one
    retry = 2                        retry = { times = 2 }
    redirect = "/new"                redirect = { to = "/new" }
    respond = "text", respond = 204  respond = { body = "text" }, respond = { status = 204 }
    health = "/healthz"              health = { path = "/healthz" }
    balance = "random"               balance = { policy = "random" }
    balance = "p2c"                  balance = { policy = "least_request" }, with a warning
    sticky = "srv"                   sticky = { cookie = "srv" }
    backup = ["http://a"]            backup = { "http://a" = 1 }
    mirror = "shadow"                mirror = { to = "shadow" }; it may be a URL, as in `to`
    compress = true, false           compress = {}, nothing
    slo = false                      slo = {}, which takes that of [defaults] away
    rate = "100/s", rate = { … }     rate = [{ limit = "100/s" }], a list of one
    errors.pages.503 = "503.html"    errors.pages.503 = { file = "503.html" }
    auth = "staff", ["a", "b"]       auth = { any = ["staff"] }; "none" = {}
    auth.sso.forward.to = "http://a/b"  an upstream "auth.sso" of that server
    allow = "10.0.0.0/8"             a list of one, as with `deny`
    cors.origins = "*"               lists of one
    secure_headers = true, false     secure_headers = {}, nothing
    maintenance = true, = "/run/m"   of [errors]: maintenance = { on = true }, = { file = "/run/m" }

What has the wrong type altogether is left alone: the conversion reports it.
"""

from __future__ import annotations

import re
from typing import Any

from proxy.config import balance_names
from proxy.config.access_forward import server_of, upstream_of
from proxy.config.expand import Expanded
from proxy.config.locate import Path
from proxy.config.model import Route
from proxy.config.report import Report

Raw = dict[str, Any]

# of the tables in `[auth.NAME]`
_LISTS = (
    "audience", "algorithms", "scopes", "in", "headers", "cookies", "send", "cache_key",
    "identities", "subjects",
)  # fmt: skip
_ROUTE_KEYS = frozenset(Route.__struct_fields__)


def lengthen(raw: Raw, report: Report) -> None:
    """Rewrite `raw` in place; duplicates that a list may hold are reported."""
    as_lists(raw, report)
    if isinstance(export := raw.get("export"), dict):
        for key in ("otlp", "traces", "metrics", "logs"):
            _one_as_list(export, key)
    if isinstance(defaults := raw.get("defaults"), dict):
        _retry(defaults)
        _auth(defaults, ("defaults", "auth"), report)
    _errors(raw, (), report)
    _checks(raw, report)
    _upstreams(raw.get("upstream"), report)
    for name, upstream in _named(raw.get("upstream")):
        _retry(upstream)
        for key in ("servers", "backup"):
            _servers(upstream, ("upstream", name, key), report)
        _inside(upstream, ("upstream", name, "balance"), {str: "policy"}, report)
        balance_names.translate(upstream, ("upstream", name, "balance"), report)
        _inside(upstream, ("upstream", name, "sticky"), {str: "cookie"}, report)
        if isinstance(zones := upstream.get("zones"), dict):
            for zone in zones:
                _one_as_list(zones, zone)
        _inside(upstream, ("upstream", name, "health"), {str: "path"}, report)
    for i, route in enumerate(raw["route"] if isinstance(raw.get("route"), list) else ()):
        if isinstance(route, dict):
            _route(route, i, raw, report)


def as_lists(raw: Raw, report: Report) -> None:
    """Routes and listeners as the lists that they are. What is one already stays one."""
    _route_alone(raw, report)
    _listen(raw, report)


def _route_alone(raw: Raw, report: Report) -> None:
    """`[route]`; `[route.shop]` is none, and is left alone."""
    route = raw.get("route")
    if not isinstance(route, dict):
        return
    if route.keys() & _ROUTE_KEYS or not all(isinstance(v, dict) for v in route.values()):
        raw["route"] = [route]
        report.lines.move(("route", 0), ("route",))


def _listen(raw: Raw, report: Report) -> None:
    listen = raw.get("listen")
    if isinstance(listen, dict):
        listen = raw["listen"] = [listen]
        report.lines.move(("listen", 0), ("listen",))
    if single := isinstance(listen, str | int) and not isinstance(listen, bool):
        listen = raw["listen"] = [listen]
    for i, item in enumerate(listen if isinstance(listen, list) else ()):
        if isinstance(item, str | int) and not isinstance(item, bool):
            item = raw["listen"][i] = {"address": item}
            place: Path = ("listen",) if single else ("listen", i)
            report.lines.alias(("listen", i, "address"), place)
        if isinstance(item, dict):
            _port(item, "address")


def _port(table: Raw, key: str) -> None:
    """8080 and "8080" are ":8080": whoever names a port alone wants it on every address."""
    port = table.get(key)
    if isinstance(port, bool) or not isinstance(port, int | str):
        return
    if isinstance(port, str) and not (port.isascii() and port.isdigit()):
        return
    table[key] = port.prefixed(":") if isinstance(port, Expanded) else f":{port}"


def _route(route: Raw, index: int, raw: Raw, report: Report) -> None:
    _one_as_list(route, "host")
    _retry(route)
    _inside(route, ("route", index, "redirect"), {str: "to"}, report)
    _inside(route, ("route", index, "respond"), {str: "body", int: "status"}, report)
    _mirror(route, index, raw, report)
    _compress(route)
    if route.get("slo") is False:
        route["slo"] = {}
    _access(route, ("route", index), report)
    _rate(route, ("route", index, "rate"), report)
    _errors(route, ("route", index), report)
    if isinstance(when := route.get("when"), dict):
        _one_as_list(when, "method")
    place: Path = ("route", index, "to")
    to = route.get("to")
    if isinstance(to, str):
        report.lines.alias((*place, str(to)), place)
        to = {to: 1}
    if isinstance(to, dict):
        route["to"] = {_upstream(raw, k, place, report): v for k, v in to.items()}


def _mirror(route: Raw, index: int, raw: Raw, report: Report) -> None:
    place: Path = ("route", index, "mirror")
    _inside(route, place, {str: "to"}, report)
    mirror = route.get("mirror")
    if isinstance(mirror, dict) and isinstance(mirror.get("to"), str):
        mirror["to"] = _upstream(raw, mirror["to"], (*place, "to"), report)


def _compress(route: Raw) -> None:
    compress = route.get("compress")
    if compress is True:
        route["compress"] = {}
    elif compress is False:
        del route["compress"]
    elif isinstance(compress, dict):
        _one_as_list(compress, "types")
        _one_as_list(compress, "with")


def _access(route: Raw, path: Path, report: Report) -> None:
    _auth(route, (*path, "auth"), report)
    for key in ("allow", "deny"):
        _one_as_list(route, key)
    if isinstance(cors := route.get("cors"), dict):
        for key in ("origins", "methods", "headers", "expose"):
            _one_as_list(cors, key)
    if route.get("secure_headers") is True:
        route["secure_headers"] = {}
    elif route.get("secure_headers") is False:
        del route["secure_headers"]


def _auth(table: Raw, place: Path, report: Report) -> None:
    """Names of checks in the place of a table; an empty list is a slip and not "none"."""
    auth = table.get("auth")
    if isinstance(auth, str):
        table["auth"] = {} if auth == "none" else {"any": [auth]}
        report.lines.alias((*place, "any", 0), place)
    elif isinstance(auth, list):
        table["auth"] = {"any": auth}
        report.lines.move((*place, "any"), place)
        if not auth:
            report.error(place, "no check is named", 'write auth = "none" if that is meant')
    elif isinstance(auth, dict):
        if not auth:  # it would open the route, whatever [defaults] asks for
            report.error(place, "no check is named", 'write auth = "none" if that is meant')
        for key in ("any", "all", "scopes"):
            _one_as_list(auth, key)
            if auth.get(key) == [] and key != "scopes":
                remedy = 'leave it out; auth = "none" asks nobody'
                report.error((*place, key), "no check is named", remedy)


def _checks(raw: Raw, report: Report) -> None:
    """Lists of one in `[auth.NAME]`, and upstreams for servers that are asked."""
    for name, check in _named(raw.get("auth")):
        for _, table in _named(check):
            for key in _LISTS:
                _one_as_list(table, key)
        if isinstance(forward := check.get("forward"), dict):
            _asked(raw, name, forward.get("to"), report)


def _asked(raw: Raw, name: str, to: object, report: Report) -> None:
    """The server of `to` is an upstream; one that the file declares by its host's name is it."""
    upstreams = raw.setdefault("upstream", {})
    if not isinstance(to, str) or not isinstance(upstreams, dict) or not (url := server_of(to)):
        return
    own, host = upstream_of(name, to)
    if own not in upstreams and host not in upstreams:
        upstreams[own] = {"servers": {url: 1}}
        report.lines.alias(("upstream", own), ("auth", name, "forward", "to"))


def _rate(route: Raw, place: Path, report: Report) -> None:
    rate = route.get("rate")
    if single := isinstance(rate, str | dict):
        rate = route["rate"] = [rate]
        report.lines.move((*place, 0), place)
    for i, item in enumerate(rate if isinstance(rate, list) else ()):
        if isinstance(rate, list) and isinstance(item, str):
            rate[i] = {"limit": item}
            report.lines.alias((*place, i, "limit"), place if single else (*place, i))


def _errors(table: Raw, path: Path, report: Report) -> None:
    """A path in the place of a page, and a switch or a path in that of maintenance."""
    if not isinstance(errors := table.get("errors"), dict):
        return
    if not path:
        _inside(errors, ("errors", "maintenance"), {str: "file", bool: "on"}, report)
    if isinstance(pages := errors.get("pages"), dict):
        for status in pages:
            _inside(pages, (*path, "errors", "pages", str(status)), {str: "file"}, report)


def _upstreams(upstreams: object, report: Report) -> None:
    """Servers alone in the place of an upstream."""
    if not isinstance(upstreams, dict):
        return
    for name, item in upstreams.items():
        several = isinstance(item, list) and item and all(isinstance(url, str) for url in item)
        if isinstance(item, str) or several:
            upstreams[name] = {"servers": item}
            report.lines.move(("upstream", name, "servers"), ("upstream", name))


def _upstream(raw: Raw, target: str, place: Path, report: Report) -> str:
    """The upstream's name; if `target` is a URL, an upstream of that one server is made."""
    upstreams = raw.setdefault("upstream", {})
    is_url = "://" in target or target.startswith("unix:")
    if not is_url or not isinstance(upstreams, dict):
        return target
    plain = re.sub(
        r"[^A-Za-z0-9_.]+", "-", re.split("://|:", target, maxsplit=1)[1].rpartition("@")[2]
    )
    base = plain.strip("-.")[:58] or "server"
    name, n = base, 1
    while name in upstreams and upstreams[name] != {"servers": {target: 1}}:
        n += 1
        name = f"{base}-{n}"
    upstreams.setdefault(name, {"servers": {target: 1}})
    report.lines.alias(("upstream", name), place)
    return name


def _servers(upstream: Raw, path: Path, report: Report) -> None:
    key = str(path[-1])
    _one_as_list(upstream, key)
    servers = upstream.get(key)
    if not isinstance(servers, list) or not all(isinstance(s, str) for s in servers):
        return
    for i, url in enumerate(servers):
        report.lines.alias((*path, str(url)), (*path, i))
        if url in servers[:i] and not getattr(url, "failed", False):
            remedy = "for a greater share write { URL = weight, … }"
            report.error((*path, i), f"{url!r} is listed twice", remedy)
    upstream[key] = dict.fromkeys(servers, 1)


def _retry(table: Raw) -> None:
    times = table.get("retry")
    if isinstance(times, Expanded) or (isinstance(times, int) and not isinstance(times, bool)):
        table["retry"] = {"times": times}


def _inside(table: Raw, path: Path, names: dict[type, str], report: Report) -> None:
    """A value in the place of a table is that table's one key for values of its type."""
    key = str(path[-1])
    if (name := names.get(_kind(table.get(key)))) is not None:
        table[key] = {name: table[key]}
        report.lines.alias((*path, name), path)


def _kind(value: object) -> type:
    return str if isinstance(value, Expanded) else type(value)


def _one_as_list(table: Raw, key: str) -> None:
    if isinstance(table.get(key), str):
        table[key] = [table[key]]


def _named(table: object) -> list[tuple[str, Raw]]:
    if not isinstance(table, dict):
        return []
    return [(name, item) for name, item in table.items() if isinstance(item, dict)]
