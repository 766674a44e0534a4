"""What must hold of the `cors` of a route."""

from __future__ import annotations

from proxy.config.access_model import Cors
from proxy.config.checks import attempt, check_field_name
from proxy.config.locate import Path
from proxy.config.model import Route
from proxy.config.origins import is_broad, parse_origin
from proxy.config.report import Report
from proxy.config.syntax import is_token

_EVERYTHING = frozenset({"~.*", "~.+", "~https?://.*", "~https://.*", "~http.*"})
_OURS = "access-control-"


def check_cors(route: Route, path: Path, report: Report) -> None:
    """Report what browsers would refuse, and what lets in more than is meant."""
    cors = route.cors
    if cors is None or report.has_failed(*path, "cors"):
        return
    place: Path = (*path, "cors")
    _origins(cors, (*place, "origins"), report)
    _methods(cors, (*place, "methods"), report)
    _names(cors.headers, (*place, "headers"), report)
    _names(cors.expose, (*place, "expose"), report)
    if cors.credentials and "*" in cors.expose and not report.is_broken(*place, "expose"):
        message = 'with `credentials`, browsers take "*" for a name (Fetch standard §3.3.5)'
        report.error((*place, "expose"), message, 'name the fields: expose = ["x-request-id"]')
    if "set-cookie" in (name.lower() for name in cors.expose):
        report.warn((*place, "expose"), "no page ever reads Set-Cookie", "leave it out")
    _twice(route, path, report)


def _origins(cors: Cors, place: Path, report: Report) -> None:
    if not cors.origins and not report.is_broken(*place[:-1]):
        message = "no page of another origin may read anything"
        report.error(place, message, 'write origins = ["https://shop.example"]')
    for i, origin in enumerate(cors.origins):
        if report.is_broken(*place, i) or not attempt(parse_origin, origin, (*place, i), report):
            continue
        if is_broad(origin):
            message = f"{origin!r} is every domain below a top-level one, whoever has it"
            report.warn((*place, i), message, 'write "https://*.shop.example"')
        if cors.credentials:
            _trusted(origin, (*place, i), report)
    if "*" in cors.origins and len(cors.origins) > 1 and not cors.credentials:
        report.warn(place, '"*" allows all origins: the others change nothing', "leave them out")


def _trusted(origin: str, place: Path, report: Report) -> None:
    """One whose pages act with the cookies of whoever looks at them."""
    if origin == "*":
        message = "with `credentials`, every page could act in its visitors' name: browsers refuse"
        remedy = 'name the origins: "https://shop.example", or leave `credentials` out'
        report.error(place, message, remedy)
    elif origin in _EVERYTHING:
        message = "with `credentials`, every page can act in its visitors' name"
        report.error(place, message, 'name the origins: "https://*.shop.example"')
    elif origin == "null":
        message = "anybody can make a page whose origin is null, by a sandboxed frame"
        report.warn(place, message, "leave it out, or leave `credentials` out")
    elif origin.lower().startswith("http://") and not _is_local(origin):
        message = "whoever is on the way can change pages that come without TLS"
        report.warn(place, message, f'write "https://{origin[7:]}"')


def _is_local(origin: str) -> bool:
    host = origin.lower().partition("://")[2]
    return host.startswith(("localhost", "127.", "[::1]", "*.localhost"))


def _methods(cors: Cors, place: Path, report: Report) -> None:
    for i, method in enumerate(cors.methods):
        if report.is_broken(*place, i) or method == "*":
            continue
        if not is_token(method):
            report.error((*place, i), f"{method!r} is not a method", 'write "PUT"')
        elif method != method.upper():
            remedy = f'did you mean "{method.upper()}"?'
            report.warn((*place, i), "methods are case-sensitive", remedy)


def _names(names: list[str], place: Path, report: Report) -> None:
    for i, name in enumerate(names):
        if not report.is_broken(*place, i) and name != "*":
            check_field_name(name, (*place, i), report)


def _twice(route: Route, path: Path, report: Report) -> None:
    """Fields that `cors` writes and the route's `headers` too: one of them would be lost, or both
    would come, which browsers refuse."""
    if report.is_broken(*path, "headers"):
        return
    edit = route.headers.response
    for key, names in (("set", edit.set), ("add", edit.add), ("remove", edit.remove)):
        for name in names:
            if name.lower().startswith(_OURS):
                place: Path = (*path, "headers", "response", key)
                report.error(place, f"{name} is what `cors` says", "leave it out of `headers`")
