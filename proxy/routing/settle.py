"""What stands between looking a route up and taking it: no route, and paths that are unclear.

Workers ask here only where there is something to settle, `spangate explain` always, so that the
two tell the same story.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from proxy.config.model import Route
from proxy.errors import BadRequest, NoRoute, WrongMethod
from proxy.http.head import RequestHead
from proxy.http.path import decode_slashes, has_parameters
from proxy.routing.leaf import Found
from proxy.routing.table import Table

# A capital letter that is no digit of a percent-encoding, whose digits are capitals here.
_capital = re.compile(r"%[0-9A-F]{2}|[^A-Z%]").sub


def is_particular(route: Route) -> bool:
    """Whether the route has a say in how a path must be written."""
    return route.encoded_slash != "keep" or "reject" in (route.path_parameters, route.upper_case)


def settle(
    table: Table, routes: Sequence[Route], head: RequestHead, host: str, found: Found | None
) -> Found:
    """The route that takes the request, after `found` by the table.

    Sets `head.path` where slashes are decoded. Raises NoRoute (404), WrongMethod (405) and
    BadRequest (400).
    """
    if found is None:
        raise _nowhere(table, head, host)
    route = routes[found[0]]
    if route.path_parameters == "reject" and has_parameters(head.path):
        raise BadRequest("this route takes no parameter (;) in a path")
    if route.upper_case == "reject" and _capital("", head.path):
        raise BadRequest("this route takes no capital letters in a path")
    if route.encoded_slash == "keep" or "%2F" not in head.path:
        return found
    if route.encoded_slash == "reject":
        raise BadRequest("this route takes no encoded slash (%2F) in a path")
    head.path = decode_slashes(head.path)
    again = table.match(host, head.method, head.path, head.query, head)
    return settle(table, routes, head, host, again)


def _nowhere(table: Table, head: RequestHead, host: str) -> NoRoute:
    methods, first = table.allowed(host, head.path, head.query, head)
    if methods:
        return WrongMethod(methods, first)
    return NoRoute("no route matches this request")
