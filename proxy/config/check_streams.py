"""What must hold between listeners, the routes that name them, and the upstreams behind: who speaks
HTTP and who passes bytes on, and which protocols a route switches to."""

from __future__ import annotations

import re

from proxy.config.discover import SCHEMES, may_be
from proxy.config.locate import Path
from proxy.config.model import Config, Headers, Listener, Route, When
from proxy.config.report import Report, suggestion
from proxy.config.syntax import parse_server

_PROTOCOL = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?")
_SAME = re.compile(r"(?i)h2c?|http/.*|tls/.*")
_BLANK = Route()
# Keys of a route that say something of requests, of which a connection has none.
_OF_REQUESTS: tuple[str, ...] = ("path", "rewrite", "redirect", "respond", "host_header")
_OF_REQUESTS += ("body_limit", "compress", "connect", "grpc_web", "encoded_slash")
_OF_REQUESTS += ("path_parameters", "upper_case", "rate", "auth", "cors", "secure_headers")


def check_streams(config: Config, report: Report) -> None:
    """Report listeners and routes that do not fit together."""
    named: dict[str, int] = {}
    for i, listener in enumerate(config.listen):
        # An element that could not be made is None here; the report knows of it already.
        if isinstance(listener, Listener):
            _listener(listener, i, named, config, report)
    streams: dict[str, str] = {}
    for listener in config.listen:
        if listener and listener.name and listener.protocol != "http":
            streams[listener.name] = listener.protocol
    for i, route in enumerate(config.route):
        if isinstance(route, Route):
            _route(route, ("route", i), streams, config, report)
    _upstreams(config, streams, report)


def _listener(
    listener: Listener, index: int, named: dict[str, int], config: Config, report: Report
) -> None:
    path: Path = ("listen", index)
    if listener.name:
        if listener.name in named:
            message = f"two listeners are called {listener.name!r}"
            report.error(
                (*path, "name"), message, f"the other one is listen[{named[listener.name]}]"
            )
        named.setdefault(listener.name, index)
    if listener.protocol == "http":
        if listener.to:
            remedy = 'write protocol = "tcp", or `to` in a [[route]]'
            report.error((*path, "to"), "requests are sent on by routes", remedy)
        return
    if listener.protocol == "tls" and listener.tls is not None:
        remedy = 'leave it out; protocol = "tcp" passes on what `tls` has decrypted'
        report.error((*path, "tls"), 'with protocol = "tls" nothing is decrypted', remedy)
    if listener.to:
        _known_upstream(listener.to, (*path, "to"), config, report)
    elif not any(isinstance(r, Route) and _goes_by(r, listener) for r in config.route):
        name = listener.name or "NAME"
        remedy = f'write to = "UPSTREAM" here, or a [[route]] with when = {{ listener = "{name}" }}'
        report.error(path, "nothing says where its connections go", remedy)


def _goes_by(route: Route, listener: Listener) -> bool:
    return listener.name != "" and route.when.listener == listener.name


def _known_upstream(name: str, path: Path, config: Config, report: Report) -> None:
    broken = report.has_failed("upstream") or report.is_broken("upstream", name)
    if name not in config.upstream and not broken and not report.names_elsewhere(name):
        remedy = suggestion(name, config.upstream) or f"add [upstream.{name}]"
        report.error(path, f"there is no upstream {name!r}", remedy)


def _route(
    route: Route, path: Path, streams: dict[str, str], config: Config, report: Report
) -> None:
    name = route.when.listener
    known = [listener.name for listener in config.listen if listener and listener.name]
    if name and name not in known and not report.has_failed("listen"):
        remedy = suggestion(name, known) or f'give a [[listen]] name = "{name}"'
        report.error((*path, "when", "listener"), f"there is no listener {name!r}", remedy)
    if name in streams:
        _stream(route, path, streams[name], report)
    else:
        _protocols(route, path, report)


def _stream(route: Route, path: Path, protocol: str, report: Report) -> None:
    """A route of connections: what it says of requests would never hold."""
    remedy = "leave it out"
    said = [key for key in _OF_REQUESTS if getattr(route, key) != getattr(_BLANK, key)]
    if route.headers != Headers():
        said.append("headers")
    for key in said:
        message = f'a "{protocol}" listener has connections and no requests'
        report.error((*path, key), message, remedy)
    if route.when != When(listener=route.when.listener):
        report.error((*path, "when"), "a connection has nothing but its listener", remedy)
    if route.host and protocol == "tcp":
        remedy = 'leave it out, or write protocol = "tls" for the listener'
        report.error((*path, "host"), "who connects by TCP names no host", remedy)


def _protocols(route: Route, path: Path, report: Report) -> None:
    for i, protocol in enumerate(route.upgrade):
        place: Path = (*path, "upgrade", i)
        if report.is_broken(*place):
            continue
        if not _PROTOCOL.fullmatch(protocol):
            report.error(place, f"{protocol!r} is not a protocol", 'write "websocket"')
        elif _SAME.fullmatch(protocol):
            remedy = "leave it out: HTTP/2 needs no Upgrade, and TLS is the listener's"
            report.error(place, f"{protocol!r} is never switched to", remedy)
    if route.connect and not route.to and not report.is_broken(*path, "to"):
        remedy = "give it `to`, or leave it out"
        report.error((*path, "connect"), "there is no upstream to connect to", remedy)


def _upstreams(config: Config, streams: dict[str, str], report: Report) -> None:
    """Each upstream is asked for answers, or for connections; its servers are for one of them."""
    users: dict[str, dict[bool, str]] = {}  # upstream -> whether for connections -> who says so
    for i, listener in enumerate(config.listen):
        if listener and listener.to and listener.protocol != "http":
            users.setdefault(listener.to, {}).setdefault(True, f"listen[{i}]")
    for i, route in enumerate(config.route):
        for name in route.to if isinstance(route, Route) else ():
            for_bytes = route.when.listener in streams
            users.setdefault(name, {}).setdefault(for_bytes, f"route[{i}]")
    for name, said in users.items():
        if name in config.upstream and not report.is_broken("upstream", name):
            _servers(name, said, config, report)


def _servers(name: str, said: dict[bool, str], config: Config, report: Report) -> None:
    path: Path = ("upstream", name)
    if len(said) == 2:
        message = f"{said[True]} wants connections of it and {said[False]} answers"
        report.error(path, message, "write two upstreams")
        return
    for_bytes = True in said
    _discovered(name, for_bytes, config, report)
    for url in config.upstream[name].everyone():
        try:
            server = parse_server(url)
        except ValueError:
            continue  # told where it is parsed
        if server.scheme == "unix" or (server.scheme == "tcp") == for_bytes:
            continue
        rest = url.partition("://")[2].rstrip("/")
        if for_bytes:
            message = f"{said[True]} passes bytes on, and {url!r} is asked for answers"
            port = "" if ":" in rest.rpartition("]")[2] else f":{server.port}"
            report.error((*path, "servers", url), message, f'write "tcp://{rest}{port}"')
        else:
            message = f"{said[False]} wants answers, and {url!r} takes bytes alone"
            remedy = f'write "http://{rest}", or give its listener protocol = "tcp"'
            report.error((*path, "servers", url), message, remedy)


def _discovered(name: str, for_bytes: bool, config: Config, report: Report) -> None:
    """A file says the schemes of its servers; of those that DNS knows `discover` does."""
    text = config.upstream[name].discover
    kinds = {scheme for scheme in SCHEMES if may_be(text, scheme)}
    if kinds and ("tcp" not in kinds if for_bytes else kinds == {"tcp"}):
        way, _, rest = text.partition("://")
        kind = way.partition("+")[0]
        want, wanted = (f"{kind}+tcp", "bytes are") if for_bytes else (kind, "answers are")
        message = f"{wanted} wanted of this upstream, and its servers are {kinds.pop()}://"
        report.error(("upstream", name, "discover"), message, f'write "{want}://{rest}"')
