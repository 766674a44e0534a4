"""What must hold of `rate` of a route and of `[redis]`."""

from __future__ import annotations

from proxy.config.checks import attempt, check_field_name
from proxy.config.locate import Path
from proxy.config.model import Config, Route
from proxy.config.rate_model import RateLimit
from proxy.config.rates import LONGEST_FILL, largest_burst, parse_key, parse_limit, parse_redis
from proxy.config.report import Report
from proxy.config.syntax import is_token

# Whoever sends one of these may write what they like, anew with each request.
_ANYBODYS = frozenset({"x-forwarded-for", "x-real-ip", "forwarded", "user-agent", "x-request-id"})


def check_rates(
    route: Route, captures: tuple[str, ...] | None, path: Path, config: Config, report: Report
) -> None:
    for i, rate in enumerate(route.rate):
        if not isinstance(rate, RateLimit) or report.has_failed(*path, "rate", i):
            continue  # it could not be made and is None here; the report knows of it already
        _check(rate, captures, (*path, "rate", i), report)
        if rate.scope == "shared" and not config.redis.url and not report.has_failed("redis"):
            message = 'scope = "shared" needs a Redis or Valkey to share it by'
            remedy = 'add [redis] url = "redis://localhost:6379", or scope = "host"'
            report.error((*path, "rate", i, "scope"), message, remedy)
        if rate.scope == "shared" and not route.to and not report.is_broken(*path, "to"):
            message = "what is not forwarded is not worth a question to Redis"
            report.error((*path, "rate", i, "scope"), message, 'write scope = "host"')


def check_redis(config: Config, report: Report) -> None:
    if config.redis.url and not report.is_broken("redis", "url"):
        attempt(parse_redis, config.redis.url, ("redis", "url"), report)


def _check(rate: RateLimit, captures: tuple[str, ...] | None, path: Path, report: Report) -> None:
    if not report.is_broken(*path, "limit"):
        attempt(parse_limit, rate.limit, (*path, "limit"), report)
    if rate.burst is not None and not report.is_broken(*path):
        _check_burst(rate.burst, rate.limit, (*path, "burst"), report)
    place: Path = (*path, "key")
    if report.is_broken(*place):
        return
    try:
        kind, name = parse_key(rate.key)
    except ValueError as error:
        report.error(place, str(error))
        return
    if kind == "header":
        check_field_name(name, place, report)
        if name.lower() in _ANYBODYS:
            message = f"anybody can write another {name} into each request"
            remedy = 'key = "client" is the address, by [forwarding] trust'
            report.warn(place, message, remedy)
    elif kind == "cookie" and not is_token(name):
        report.error(place, f"{name!r} is not a cookie's name", 'write key = "cookie:session"')
    elif kind == "path" and captures is not None and name not in captures:
        known = ", ".join(captures) or "nothing"
        message = f"the route's path has no {{{name}}}: it captures {known}"
        report.error(place, message, 'a path such as "/users/{id}/*" captures')


def _check_burst(burst: int, limit: str, place: Path, report: Report) -> None:
    most = largest_burst(*parse_limit(limit))
    if burst > most:
        message = f"at {limit}, {burst} would take over {LONGEST_FILL} years to fill up"
        report.error(place, message, f"{most} are the most that may come at once")
