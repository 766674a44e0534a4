"""What the gateway would do with one request, in words: for `spangate explain` alone.

It asks the same table, rewrites and precedence that workers use, so that it cannot tell another
story; nothing is sent anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from proxy.config.effective import Effective, effective
from proxy.config.load import Loaded
from proxy.config.model import Retry, Route
from proxy.config.units import seconds_text, size_text
from proxy.errors import BadRequest
from proxy.http.head import RequestHead
from proxy.http.path import decode_slashes, normalise
from proxy.routing.rewrite import compile_redirect, compile_rewrite
from proxy.routing.table import Table

_DURATIONS = ("timeout", "connect_timeout", "first_byte_timeout", "idle_timeout")


def explain(loaded: Loaded, request: RequestHead) -> tuple[bool, list[str]]:
    """Whether a route takes the request, and the lines that say why and what follows.

    BadRequest for a request that is refused before routes are asked.
    """
    table = Table.compile(loaded.config.route)
    host = _host(request.authority)
    asked = (host, request.method, request.path, request.query, request)
    steps = table.explain(asked)
    found = table.match(*asked)
    lines = [f"request    {request.method} {request.path}, host {host or 'none'}"]
    if found is None:
        return False, [*lines, *_titled("no route", steps), "answer     404"]
    index, captures = found
    route = loaded.config.route[index]
    place = loaded.where(("route", index))
    lines.append(f"route      {route.name!r}" + (f" ({place})" if place else ""))
    lines += _titled("why", steps)
    lines += _titled("captures", [f"{name} = {value}" for name, value in captures.items()])
    lines += _action(loaded, route, request, captures)
    lines += _observed(loaded, route, index, request.path)
    return True, lines


def read_request(method: str, url: str, headers: Sequence[str]) -> RequestHead:
    """The head of a request as typed; `url` may be a path. BadRequest, ValueError if it is none."""
    parts = urlsplit(url if "://" in url or url.startswith("/") else f"http://{url}")
    head = RequestHead()
    head.method = method
    head.authority = parts.netloc.rpartition("@")[2].lower() or "localhost"
    head.path = normalise(parts.path or "/")
    head.query = parts.query
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"{header!r} is not a header: write 'name: value'")
        field = name.strip().lower().encode(), value.strip().encode()
        head.receive(*field)
        if field[0] == b"host":
            head.authority = value.strip().lower()
    if head.authority:
        head.fields[b"host"] = head.authority.encode()
    return head


def _host(authority: str) -> str:
    if authority.startswith("["):
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0]


def _action(
    loaded: Loaded, route: Route, request: RequestHead, captures: dict[str, str]
) -> Iterator[str]:
    if route.respond is not None:
        yield f"answer     {route.respond.status}, fixed"
    elif route.redirect is not None:
        make = compile_redirect(route.redirect, tuple(captures))
        location = make(request.path, request.query, captures)
        yield f"answer     {route.redirect.status}, Location: {location}"
    else:
        yield f"forwarded  {request.method} {_forwarded(route, request, captures)}"
        total = sum(route.to.values())
        for name, weight in route.to.items():
            yield f"upstream   {name!r}" + (f", {weight} of {total}" if len(route.to) > 1 else "")
            yield from _upstream(loaded, route, name)


def _forwarded(route: Route, request: RequestHead, captures: dict[str, str]) -> str:
    path = request.path
    if "%2F" in path and route.encoded_slash == "reject":
        raise BadRequest("the route rejects encoded slashes")
    if route.encoded_slash == "decode":
        path = decode_slashes(path)
    rewrite = compile_rewrite(route)
    path = rewrite(path, captures) if rewrite is not None else path
    return f"{path}?{request.query}" if request.query else path


def _upstream(loaded: Loaded, route: Route, name: str) -> Iterator[str]:
    for server, weight in loaded.config.upstream[name].servers.items():
        yield f"             {server}  weight {weight}"
    force = effective(loaded.config, route, name, loaded.where)
    for key, value in _in_force(force):
        yield f"           {key:<20}{value:<14}  {force.origin[key]}"


def _in_force(force: Effective) -> Iterator[tuple[str, str]]:
    for key in _DURATIONS:
        seconds = getattr(force, key)
        yield key, seconds_text(seconds) if seconds else "none"
    yield "retry", _retry(force.retry)
    yield "body_limit", size_text(force.body_limit) if force.body_limit else "none"
    for key in ("baggage", "tracestate", "context"):
        yield key, "drop" if getattr(force.propagate, key) in (False, "drop") else "pass"


def _retry(retry: Retry | None) -> str:
    if retry is None or not retry.times:
        return "none"
    on = "".join(f", {status}" for status in retry.on)
    return f"{retry.times} more, {'/'.join(retry.methods)}; on refused, reset, connect timeout{on}"


def _observed(loaded: Loaded, route: Route, index: int, path: str) -> Iterator[str]:
    tracing = loaded.config.tracing
    if path in tracing.untraced:
        yield f"sampling   never: tracing.untraced has {path}"
    else:
        sampler, by = _said(loaded, index, "sampler", route.trace.sampler, tracing.sampler)
        share, by_share = _said(loaded, index, "sample", route.trace.sample, tracing.sample)
        yield f"sampling   {_SAMPLERS[str(sampler)].format(float(str(share)))}"
        yield f"             sampler {sampler}: {by}; sample {share}: {by_share}"
    labels = {**loaded.config.labels, **route.labels}
    yield from _titled("labels", [f"{key} = {value}" for key, value in labels.items()])


_SAMPLERS = {
    "parent": "{:.6g} of new traces; a trusted parent's decision is obeyed",
    "ratio": "{:.6g} of all traces, whatever a parent decided",
    "always": "all traces",
    "never": "no trace",
}


def _said(loaded: Loaded, index: int, key: str, own: object, general: object) -> tuple[object, str]:
    """The value in force and who said so: the route, [tracing], or nobody."""
    if own is not None:
        return own, f"route ({loaded.where(('route', index, 'trace', key))})"
    place = loaded.where(("tracing", key))
    return general, f"[tracing] ({place})" if place else "built in or OTEL_TRACES_SAMPLER"


def _titled(title: str, items: list[str]) -> list[str]:
    """Items in a column, with a title beside the first."""
    return [f"{title if i == 0 else '':<11}{item}" for i, item in enumerate(items)]
