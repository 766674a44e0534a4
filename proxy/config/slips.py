"""Routes that are well-formed and can hardly mean what they say: warnings, each with its remedy.

What cannot work at all is an error of `check_routes`; what never matches because another route
takes all of its requests is told by the command itself, which has the table.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.locate import Path
from proxy.config.model import Config, Defaults, Health, Retry, Route, Upstream
from proxy.config.own_fields import own_fields
from proxy.config.report import Report
from proxy.config.syntax import is_unix, parse_address, parse_server
from proxy.config.units import seconds_text
from proxy.config.words import values

# (what is wrong, what to write) at a key below a route
Slip = tuple[Path, str, str]

_FORWARDED_ONLY: tuple[str, ...] = ("host_header", "retry", "connect_timeout", "tls_timeout")
_FORWARDED_ONLY += ("first_byte_timeout", "idle_timeout", "stream_timeout")


def tell_slips(config: Config, report: Report) -> None:
    """Warn about every slip; a value that has an error already is left alone."""
    for i, route in enumerate(config.route):
        if isinstance(route, Route):  # else it could not be made, and the report knows
            _tell(_of_route(route, config), ("route", i), report)
            layers = (route, *map(config.upstream.get, route.to), config.defaults)
            whole = next((t for layer in layers if (t := getattr(layer, "timeout", None))), 0.0)
            _tell(_of_waits(route, whole), ("route", i), report)
    for name, upstream in config.upstream.items():
        _tell(_of_waits(upstream, upstream.timeout or 0.0), ("upstream", name), report)
        _tell(_of_health(upstream.health), ("upstream", name, "health"), report)
        _tell(of_retry(upstream.retry), ("upstream", name, "retry"), report)
        _tell(_of_protocol(name, upstream), ("upstream", name, "health"), report)
        _tell(_of_servers(upstream, config), ("upstream", name), report)
    _tell(_of_waits(config.defaults, config.defaults.timeout), ("defaults",), report)
    _tell(of_retry(config.defaults.retry), ("defaults", "retry"), report)


def _tell(slips: Iterator[Slip], path: Path, report: Report) -> None:
    for below, message, remedy in slips:
        if not report.is_broken(*path, *below):
            report.warn((*path, *below), message, remedy)


def of_retry(retry: Retry | None) -> Iterator[Slip]:
    """Methods that nobody sends, and retries that never happen."""
    if retry is None:
        return
    for i, method in enumerate(retry.methods):
        if method is not None and method != method.upper():
            remedy = f'did you mean "{method.upper()}"?'
            yield ("methods", i), "methods are case-sensitive", remedy
    if retry.times and not retry.methods:
        yield ("methods",), "no method is tried again", "leave it out for the idempotent ones"
    if retry.times and not retry.budget:
        yield ("budget",), "a budget of 0 allows no retry", "leave it out, or write retry = 0"


def _of_route(route: Route, config: Config) -> Iterator[Slip]:
    yield from _of_path(route.path)
    yield from _of_conditions(route, config)
    yield from _of_targets(route)
    yield from _of_edits(route, config)
    yield from _of_calls(route, config)
    if not route.to:
        yield from _of_an_answer(route)
    for below, message, remedy in of_retry(route.retry):
        yield ("retry", *below), message, remedy


def _of_calls(route: Route, config: Config) -> Iterator[Slip]:
    """gRPC to servers that are not asked by HTTP/2."""
    if not route.grpc_web and not route.when.grpc:
        return
    for name in route.to:
        upstream = config.upstream.get(name)
        if upstream is not None and _is_old(upstream):
            remedy = f'write protocol = "h2" in [upstream.{name}]'
            yield ("to",), f"gRPC needs HTTP/2, and {name!r} is asked by HTTP/1.1", remedy


def _of_protocol(name: str, upstream: Upstream) -> Iterator[Slip]:
    """The same of probes."""
    if upstream.health is not None and upstream.health.grpc is not None and _is_old(upstream):
        message = "gRPC needs HTTP/2, and these servers are asked by HTTP/1.1"
        yield ("grpc",), message, f'write protocol = "h2" in [upstream.{name}]'


def _is_old(upstream: Upstream) -> bool:
    if upstream.protocol != "auto":
        return upstream.protocol == "h1"
    return any(not url.lower().startswith("https:") for url in upstream.servers)


def _of_path(path: str) -> Iterator[Slip]:
    if not path.startswith("~"):
        return
    if never := values.never_a_path(path[1:]):
        yield ("path",), f"{path!r} can never match: {never[0]}", never[1]


def _of_conditions(route: Route, config: Config) -> Iterator[Slip]:
    underscores = config.forwarding.underscores
    for name in route.when.header:
        if "_" in name and underscores != "pass":
            yield (
                ("when", "header", name),
                f"it never holds: fields with _ in their name are {_GONE[underscores]} before",
                f'write {name.replace("_", "-")}, or [forwarding] underscores = "pass"',
            )
        if (value := route.when.header[name]) != value.strip():
            message = "it never holds: blanks around a value are no part of it"
            yield ("when", "header", name), message, "write it without blanks at its ends"
        if name.lower() in ("host", ":authority"):
            yield ("when", "header", name), "the route has a key for that", "write host = …"


_GONE = {"drop": "dropped", "reject": "refused"}


def _of_targets(route: Route) -> Iterator[Slip]:
    """Redirects and rewrites with the placeholders of other programs."""
    if route.redirect is not None:
        to = route.redirect.to
        if (found := values.placeholder(to)) is not None:
            yield ("redirect", "to"), *found
        elif to == route.path and not route.host:
            message = "it leads to itself, again and again"
            yield ("redirect", "to"), message, "name another path, or a URL"
    for key in ("strip", "prefix", "path"):
        text = getattr(route.rewrite, key, None)
        if key == "prefix" and text is not None and text.endswith("*"):
            remedy = f'write prefix = "{text.rstrip("*").rstrip("/") or "/"}"'
            yield ("rewrite", key), "what /* left follows by itself, and * is literal here", remedy
        elif text is not None and (found := values.placeholder(text)) is not None:
            yield ("rewrite", key), *found


def _of_edits(route: Route, config: Config) -> Iterator[Slip]:
    own = own_fields(config)
    for side, edit in (("request", route.headers.request), ("response", route.headers.response)):
        for kind in ("set", "add"):
            for name, value in getattr(edit, kind).items():
                written_anyway = side == "request" and name.lower() in own
                if not written_anyway and (told := values.variable(value)) is not None:
                    yield ("headers", side, kind, name), *told


def _of_an_answer(route: Route) -> Iterator[Slip]:
    """What says something about a request that is forwarded, on a route that forwards none."""
    request = route.headers.request
    if request.set or request.add or request.remove:
        message = "nothing is forwarded, so no request is edited"
        yield ("headers", "request"), message, "headers.response is for the client"
    for key in _FORWARDED_ONLY:
        if getattr(route, key) is not None:
            yield (key,), "nothing is forwarded, so it has no effect", "leave it out"


def _of_waits(table: Route | Upstream | Defaults, whole: float) -> Iterator[Slip]:
    """A part of the wait that this table lets be longer than the whole.

    A default is meant for many routes, so it may be longer than what one of them says.
    """
    for key in ("connect_timeout", "first_byte_timeout"):
        part = getattr(table, key)
        if whole and part is not None and part > whole and part != getattr(Defaults(), key):
            message = f"longer than the timeout of {seconds_text(whole)} for the whole answer"
            yield (key,), message, "make it shorter, or the timeout longer"
    connect = table.connect_timeout
    if connect and table.tls_timeout and table.tls_timeout >= connect:
        message = f"never reached: the connect_timeout of {seconds_text(connect)} covers it"
        yield ("tls_timeout",), message, "make it shorter, or leave it out"


def _of_servers(upstream: Upstream, config: Config) -> Iterator[Slip]:
    """Servers that are this gateway itself."""
    own = {place for listener in config.listen if listener for place in _places(listener.address)}
    for url in upstream.servers:
        try:
            _, host, port = parse_server(url)
        except ValueError:
            continue  # it has an error
        host = "127.0.0.1" if host == "localhost" else host
        if (host, port) in own or (host.startswith("127.") and ("127.0.0.1", port) in own):
            message = "this is the gateway's own address: requests would go round in a circle"
            yield ("servers", url), message, "name the server's own port"


def _places(address: str) -> Iterator[tuple[str, int]]:
    try:
        host, port = parse_address(address)
    except ValueError:
        if is_unix(address):
            yield address.removeprefix("unix:"), 0
        return
    if port:
        yield ("127.0.0.1" if host in ("", "0.0.0.0", "::", "localhost") else host), port


def _of_health(health: Health | None) -> Iterator[Slip]:
    if health is not None and health.every and health.timeout > health.every:
        message = f"a probe may take longer than the {seconds_text(health.every)} between two"
        yield ("timeout",), message, "make it shorter than `every`"
