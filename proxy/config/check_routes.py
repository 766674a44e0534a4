"""What must hold within and between routes once each of their values is well-formed.

Paths and hosts are judged by the routing package's own grammar, which is imported when it is
asked: configuration stands below routing everywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from proxy.config.access_forward import asked_by_checks
from proxy.config.check_compress import check_compress
from proxy.config.check_errors import asked_of
from proxy.config.check_limits import check_priority
from proxy.config.check_mirror import check_mirror
from proxy.config.check_rates import check_rates
from proxy.config.check_streams import check_streams
from proxy.config.checks import attempt, check_field_name, check_fields, check_retry
from proxy.config.locate import Path
from proxy.config.mesh_expand import made_by
from proxy.config.mesh_model import Mesh, MeshAllow
from proxy.config.model import Config, HeaderEdit, Redirect, Respond, Rewrite, Route, When
from proxy.config.own_fields import check_own_fields
from proxy.config.report import Report, suggestion
from proxy.config.source_model import Sources
from proxy.config.syntax import is_authority, is_token, parse_regex
from proxy.config.words import paths, values

# Set by the gateway itself for every message; an edit would break framing or this hop.
FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_ACTIONS = ("to", "redirect", "respond", "publish")
BODILESS = (204, 205, 304)  # RFC 9110 §15.3.5, §15.3.6, §15.4.5


def check_routes(config: Config, report: Report) -> None:
    """Report routes that cannot work, and upstreams that none of them uses."""
    empty = not config.route and config.collector is None and not report.is_broken("mesh")
    empty = empty and not any(listener.to for listener in config.listen if listener)
    empty = empty and config.source == Sources() and not config.consume
    if empty and not report.is_broken("route") and not report.has_foreign_tables():
        # Nobody wants that on purpose; an editor leaves it for an instant when it saves.
        remedy = 'add [[route]] with to = "http://127.0.0.1:8000"; telemetry alone has [collector]'
        report.error(("route",), "there are no routes, so there is nothing to do", remedy)
    named: dict[str, int] = {}
    for i, route in enumerate(config.route):
        # An element that could not be made is None here; the report knows of it already.
        if isinstance(route, Route):
            _name(route, i, named, report)
            _route(route, ("route", i), config, report)
    _allowed(config.mesh, report)
    check_streams(config, report)
    if not report.is_broken("route") and not report.has_foreign_tables():
        used = {name for route in config.route for name in route.to}
        used |= {route.mirror.to for route in config.route if route.mirror is not None}
        used |= {listener.to for listener in config.listen if listener} | asked_of(config)
        used |= asked_by_checks(config) | {*made_by(config.mesh)}
        used |= {one.to for one in config.consume if one}
        for name in config.upstream:
            if name not in used and report.place(("upstream", name)) is None:
                remedy = f'write to = "{name}" in a [[route]], or leave it out'
                report.warn(("upstream", name), "no route uses this upstream", remedy)


def _allowed(mesh: Mesh | None, report: Report) -> None:
    """Paths and methods of `mesh.allow`, as those of a route."""
    for i, rule in enumerate(mesh.allow if mesh is not None else ()):
        if rule is not None and not report.is_broken("mesh", "allow", i):
            _captures(rule, ("mesh", "allow", i), report)
            _methods(rule.method, ("mesh", "allow", i, "method"), report)


def _name(route: Route, index: int, named: dict[str, int], report: Report) -> None:
    path: Path = ("route", index, "name")
    if route.name in named:
        other: Path = ("route", named[route.name])
        line = report.lines.near(other)
        remedy = f"the other one is in line {line}" if line else ""
        if (place := report.place(other)) is not None:
            remedy = f"the other one is {place}"
        report.error(path, f"two routes are called {route.name!r}", remedy)
    elif not route.name.isprintable() and report.lines.exact(path):  # else it is the path's fault
        report.error(path, "a name is one line of visible characters")
    named.setdefault(route.name, index)


def _route(route: Route, path: Path, config: Config, report: Report) -> None:
    captures = _captures(route, path, report)
    _hosts(route, path, report)
    _when(route.when, (*path, "when"), report)
    _action(route, path, config, report)
    if route.rewrite is not None and captures is not None:
        _rewrite(route.rewrite, route, path, report)
    if route.redirect is not None and captures is not None:
        _redirect(route.redirect, captures, (*path, "redirect", "to"), report)
    if route.respond is not None:
        _respond(route.respond, (*path, "respond"), report)
    _edits(route.headers.request, (*path, "headers", "request"), FRAMING | {"host"}, report)
    _edits(route.headers.response, (*path, "headers", "response"), FRAMING, report)
    check_own_fields(route, path, config, report)
    if route.host_header is not None and not is_authority(route.host_header):
        example = 'write "shop.example" or "shop.example:8080"'
        remedy = values.host_name(route.host_header) or example
        report.error((*path, "host_header"), f"{route.host_header!r} is not a host", remedy)
    check_retry(route.retry, (*path, "retry"), report)
    if route.compress is not None:
        check_compress(route, route.compress, (*path, "compress"), report)
    if route.rate:
        check_rates(route, captures, path, config, report)
    check_mirror(route, path, config, report)
    check_priority(route, path, config, report)


def _captures(route: Route | MeshAllow, path: Path, report: Report) -> tuple[str, ...] | None:
    """The names that the path captures; None if it is broken, and so all that uses them."""
    from proxy.routing.pattern import parse

    place: Path = (*path, "path")
    if report.is_broken(*place):
        return None
    # in a file "^" is a regular expression of somebody who forgot the "~"
    is_given = isinstance(route, Route) and route.order
    told = None if is_given and route.path.startswith("^") else paths.written_here(route.path)
    if told is not None:
        report.error(place, f"{route.path!r}: {told[0]}", told[1])
        return None
    try:
        return parse(route.path).captures
    except ValueError as error:
        report.error(place, str(error))
        return None


def _hosts(route: Route, path: Path, report: Report) -> None:
    from proxy.routing.pattern import parse_host

    for i, host in enumerate(route.host):
        if report.is_broken(*path, "host", i):
            continue
        try:
            parse_host(host)
        except ValueError as error:
            report.error((*path, "host", i), str(error), values.host_name(host))


def _methods(methods: Sequence[str], path: Path, report: Report) -> None:
    for i, method in enumerate(methods):
        if report.is_broken(*path, i):
            continue
        if not is_token(method):
            several = [part for part in re.split(r"[,|\s]+", method) if is_token(part)]
            remedy = f"write {several}".replace("'", '"') if several else 'write "GET"'
            report.error((*path, i), f"{method!r} is not a method", remedy)
        elif method == "*":
            report.warn((*path, i), "no request has this method", "leave it out for any")
        elif method != method.upper():
            remedy = f'did you mean "{method.upper()}"?'
            report.warn((*path, i), "methods are case-sensitive", remedy)


def _when(when: When, path: Path, report: Report) -> None:
    _methods(when.method, (*path, "method"), report)
    for name in when.header:
        check_field_name(name, (*path, "header", name), report)
    for kind in ("header", "query"):
        for name, value in getattr(when, kind).items():
            if value.startswith("~"):
                attempt(parse_regex, value[1:], (*path, kind, name), report)


def _action(route: Route, path: Path, config: Config, report: Report) -> None:
    said = [key for key in _ACTIONS if getattr(route, key)]
    broken = any(report.is_broken(*path, key) for key in _ACTIONS)
    if len(said) != 1 and not broken and not report.is_foreign(path):
        what = " and ".join(f"`{key}`" for key in said) or "nothing"
        message = f"a route says what to do exactly once, this one says {what}"
        report.error(path, message, "give one of `to`, `redirect`, `respond`, `publish`")
    for name in route.to:
        broken = report.has_failed("upstream") or report.is_broken("upstream", name)
        known = name in config.upstream or broken
        if not known and not report.names_elsewhere(name):
            remedy = values.server_url(name) or suggestion(name, config.upstream)
            remedy = remedy or f"add [upstream.{name}]"
            report.error((*path, "to", name), f"there is no upstream {name!r}", remedy)


def _rewrite(rewrite: Rewrite, route: Route, path: Path, report: Report) -> None:
    from proxy.routing.rewrite import compile_rewrite

    place: Path = (*path, "rewrite")
    if report.is_broken(*place):
        return
    if not route.to and not report.is_broken(*path, "to"):
        report.warn(place, "nothing is forwarded, so nothing is rewritten")
    said = [key for key in ("strip", "prefix", "path") if getattr(rewrite, key) is not None]
    place = (*place, *said) if len(said) == 1 else place
    text = rewrite.strip or rewrite.prefix or rewrite.path or ""
    made = _compile(lambda: compile_rewrite(route), text, place, report)
    if made and rewrite.strip is not None:
        _strip(rewrite.strip, route, place, report)


def _compile(make: Callable[[], object], text: str, path: Path, report: Report) -> bool:
    """Whether `make` takes `text`; a placeholder of another program is told with its remedy."""
    try:
        make()
    except ValueError as error:
        told = values.placeholder(text)
        report.error(path, str(error), told[1] if told else "")
        return False
    return True


def _strip(strip: str, route: Route, path: Path, report: Report) -> None:
    if route.path.startswith("~"):
        return
    head = strip.rstrip("/")
    if route.path != head and not route.path.startswith(head + "/"):
        message = f"{strip!r} does not begin the route's path {route.path!r}"
        report.error(path, message, "strip whole segments of the path")


def _redirect(redirect: Redirect, captures: Sequence[str], path: Path, report: Report) -> None:
    from proxy.routing.rewrite import compile_redirect, glues_query

    if report.is_broken(*path):
        return
    if not all("!" <= c <= "~" for c in redirect.to):
        report.error(path, "a URL holds visible ASCII only", "percent-encode the rest")
    elif not redirect.to.startswith(("/", "{path}", "{*}", "http://", "https://")):
        remedy = 'write "https://example.com/new" or "/new"'
        report.error(path, f"{redirect.to!r} is neither a path nor an http URL", remedy)
    else:
        _compile(lambda: compile_redirect(redirect, captures), redirect.to, path, report)
        if glues_query(redirect.to, captures):
            report.warn(path, "{query} is glued to what precedes it", 'write "{?query}"')


def _respond(respond: Respond, path: Path, report: Report) -> None:
    if respond.status < 200 and not report.is_broken(*path, "status"):
        report.error((*path, "status"), "a 1xx status ends no request", "200 to 599")
    if respond.body and respond.status in BODILESS:
        report.error((*path, "body"), f"{respond.status} has no body", "leave it out")
    if respond.grpc_health and (respond.body or respond.headers or respond.status != 200):
        message = "health checks are answered as their protocol says"
        report.error(path, message, "write respond = { grpc_health = true } alone")
    check_fields(respond.headers.items(), (*path, "headers"), report)
    _refuse(respond.headers, (*path, "headers"), FRAMING, report)


def _edits(edit: HeaderEdit, path: Path, forbidden: frozenset[str], report: Report) -> None:
    for kind, fields in (("set", edit.set), ("add", edit.add)):
        check_fields(fields.items(), (*path, kind), report)
        _refuse(fields, (*path, kind), forbidden, report)
    for i, name in enumerate(edit.remove):
        if not report.is_broken(*path, "remove", i):
            check_field_name(name, (*path, "remove", i), report)
            _refuse_one(name, (*path, "remove", i), forbidden, report)


def _refuse(names: Iterable[str], path: Path, forbidden: frozenset[str], report: Report) -> None:
    for name in names:
        _refuse_one(name, (*path, name), forbidden, report)


def _refuse_one(name: str, path: Path, forbidden: frozenset[str], report: Report) -> None:
    lower = name.lower()
    if lower in forbidden:
        remedy = "use `host_header`" if lower == "host" else "leave it out"
        report.error(path, f"{name} belongs to the connection and is the gateway's own", remedy)
