"""What must hold of checks, of the routes that ask them, and of what both leave open.

The files that checks need are read here, as those of TLS are: what was judged is what is used
(`material.py`), by the paths as they are written. What holds within one check is in
`check_auth.py`.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.check_auth import check_auth
from proxy.config.check_clients import check_clients
from proxy.config.check_cors import check_cors
from proxy.config.checks import attempt
from proxy.config.locate import Path
from proxy.config.model import Auth, AuthUse, Config, Listener, Route
from proxy.config.report import Report, suggestion
from proxy.config.syntax import is_loopback, is_unix, parse_address, parse_network

Use = tuple[Path, AuthUse]

# Kinds whose credentials can be used by whoever hears them.
_IN_THE_OPEN = ("jwt", "api_key", "basic", "oidc")
_WITHOUT_SCOPES = ("basic", "mtls", "forward")


def check_access(config: Config, report: Report) -> dict[str, bytes]:
    """Report what cannot work and what is left open; what the files of checks hold, by path."""
    credentials = read_credentials(config, report)
    if "none" in config.auth:
        message = 'auth = "none" means that nobody is asked'
        report.error(("auth", "none"), message, "give this check another name")
    uses = list(_uses(config))
    for path, use in uses:
        _use(use, path, config, report)
    for i, route in enumerate(config.route):
        if isinstance(route, Route):  # else it could not be made, and the report knows
            check_cors(route, ("route", i), report)
            _lists(route, ("route", i), report)
    _unused(config, {name for _, use in uses for name in use.names}, report)
    _left_open(config, report)
    _overheard(config, report)
    check_clients(config, report)
    return credentials


def read_credentials(config: Config, report: Report) -> dict[str, bytes]:
    """What the files of checks hold, by path; what is wrong with the checks is reported."""
    credentials: dict[str, bytes] = {}
    for name, check in config.auth.items():
        check_auth(check, ("auth", name), config, report, credentials)
    return credentials


def kind_of(check: Auth) -> str:
    """Of what kind a check is; "" if of none."""
    kinds = [kind for kind in Auth.__struct_fields__ if getattr(check, kind) is not None]
    return kinds[0] if kinds else ""


def asked(route: Route, config: Config) -> tuple[str, ...]:
    """The checks of a route's requests."""
    use = config.defaults.auth if route.auth is None else route.auth
    return use.names if use is not None else ()


def _uses(config: Config) -> Iterator[Use]:
    if config.defaults.auth is not None:
        yield ("defaults", "auth"), config.defaults.auth
    for i, route in enumerate(config.route):
        if isinstance(route, Route) and route.auth is not None:
            yield ("route", i, "auth"), route.auth


def _use(use: AuthUse, path: Path, config: Config, report: Report) -> None:
    if report.has_failed(*path):
        return
    for key in ("any", "all"):
        for i, name in enumerate(getattr(use, key)):
            if not report.is_broken(*path, key, i):
                _name(name, (*path, key, i), config, report)
    for twice in sorted({name for name in use.any if name in use.all and name is not None}):
        report.warn((*path, "any"), f"{twice!r} is in `all` as well", "leave out `any`")
    if not use.names and (use.scopes or use.claims):
        message = "no check says who it is, so nobody has scopes or claims"
        report.error(path, message, 'write any = ["staff"] beside it, the name of a check')
    kinds = {kind_of(config.auth[name]) for name in use.names if name in config.auth}
    if use.scopes and kinds and kinds <= set(_WITHOUT_SCOPES):
        message = f"checks by {' and '.join(sorted(kinds))} tell no scopes: everybody is refused"
        report.warn((*path, "scopes"), message, "leave it out")


def _name(name: str, path: Path, config: Config, report: Report) -> None:
    if name == "none":
        report.error(path, '"none" stands alone', 'write auth = "none"')
    elif (
        name not in config.auth
        and not report.has_failed("auth", name)
        and not report.is_foreign(("auth",))
    ):
        remedy = suggestion(name, config.auth) or f"add [auth.{name}]"
        report.error(path, f"there is no check {name!r}", remedy)


def _unused(config: Config, used: set[str], report: Report) -> None:
    if report.is_broken("route") or report.has_foreign_tables():
        return
    for name in config.auth:
        if name not in used:
            remedy = f'write auth = "{name}" in a [[route]], or leave it out'
            report.warn(("auth", name), "no route asks this check", remedy)


def _lists(route: Route, path: Path, report: Report) -> None:
    """That addresses are ones; how the lists go together is in `check_clients.py`."""
    for key in ("allow", "deny"):
        for i, network in enumerate(getattr(route, key)):
            if not report.is_broken(*path, key, i):
                attempt(parse_network, network, (*path, key, i), report)
    for both in sorted(set(filter(None, route.allow)) & set(filter(None, route.deny))):
        report.warn((*path, "deny"), f"{both} is in `allow` as well, and `deny` wins")
    if route.to and {"0.0.0.0/0", "::/0"} <= set(route.deny):
        report.warn((*path, "deny"), "nobody may come in", "write respond = { status = 403 }")


def _left_open(config: Config, report: Report) -> None:
    """Routes that say nothing about who may come in, where others do."""
    if config.defaults.auth is not None or not any(
        isinstance(route, Route) and route.auth is not None and route.auth.names
        for route in config.route
    ):
        return
    streams = {listener.name for listener in config.listen if listener and _is_stream(listener)}
    for i, route in enumerate(config.route):
        if isinstance(route, Route) and route.to and route.auth is None and not route.allow:
            if route.when.listener in streams - {""}:
                continue
            message = "everybody may come in here, and other routes ask who it is"
            remedy = 'write auth = "none" if that is meant'
            report.warn(("route", i), message, remedy)


def _is_stream(listener: Listener) -> bool:
    return listener.protocol != "http"


def _overheard(config: Config, report: Report) -> None:
    """Credentials that come over a listener in plaintext from anywhere."""
    for i, listener in enumerate(config.listen):
        if not isinstance(listener, Listener) or report.is_broken("listen", i):
            continue
        names = sorted(_open_to(listener, config))
        if names:
            message = f"what {' and '.join(names)} asks for comes in plaintext: who hears it has it"
            remedy = (
                'write tls = { cert = "edge.pem", key = "edge.key" }, a loopback address, or'
                ' trust = ["10.0.0.1"] if it is a proxy with TLS that connects'
            )
            report.warn(("listen", i), message, remedy)


def _open_to(listener: Listener, config: Config) -> Iterator[str]:
    """The checks of that kind that are asked on this listener, if it is an open one."""
    behind = listener.trust is not None or config.forwarding.trust is not None
    if listener.tls is not None or _is_stream(listener) or listener.proxy_protocol or behind:
        return
    if is_unix(listener.address) or is_loopback(parse_address(listener.address)[0]):
        return
    names = {
        name
        for route in config.route
        if isinstance(route, Route) and route.when.listener in ("", listener.name)
        if route.when.scheme != "https"
        for name in asked(route, config)
    }
    for name in names:
        if name in config.auth and kind_of(config.auth[name]) in _IN_THE_OPEN:
            yield name
