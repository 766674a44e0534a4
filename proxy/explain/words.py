"""The lines that `spangate explain` prints.

They tell of the configuration as `/config` shows it: what that hides is hidden here too.
"""

from __future__ import annotations

from collections.abc import Iterator

from proxy.config.effective import DURATIONS, Effective, effective
from proxy.config.loaded import Loaded
from proxy.config.mesh_names import APP, AWAY, OUTBOUND
from proxy.config.messaging_model import Kafka
from proxy.config.model import Config, Retry, Route
from proxy.config.rate_model import RateLimit
from proxy.config.rates import parse_limit
from proxy.config.redact import made_from, shown_config
from proxy.config.topics import Topic, is_topic
from proxy.config.units import seconds_text, size_text
from proxy.errors import ProxyError, WrongMethod
from proxy.explain.access import access, judged
from proxy.explain.course import Course
from proxy.explain.listeners import secure
from proxy.http import local


def explain(
    loaded: Loaded,
    data: bytes,
    scheme: str = "http",
    client: str | None = None,
    listener: str | None = None,
) -> tuple[bool, list[str]]:
    """Whether the request whose head is `data` is taken, and the lines that say why and what
    follows; `scheme`: of the connection that it comes on; `client`: the address of who sends it,
    None = that is not said. `listener`: the name of that by which it comes in, None = of a sidecar
    the one that its application calls, else one without a name."""
    shown = shown_config(loaded)
    course = Course(loaded.config, shown.route)
    course.scheme, course.client = scheme, client
    if listener is None:
        listener = OUTBOUND if loaded.config.mesh is not None else ""
    course.listener = listener
    lines: list[str] = []
    try:
        lines.extend(_told(loaded, shown, course, data))
    except ProxyError as error:
        return False, [*lines, _refusal(error)]
    return course.is_taken, lines


def _refusal(error: ProxyError) -> str:
    if isinstance(error, WrongMethod):
        return f"answer     {error.status}, Allow: {', '.join(error.methods)}"
    return f"answer     {error.status}" + (f": {error.detail}" if error.status != 404 else "")


def _told(loaded: Loaded, shown: Config, course: Course, data: bytes) -> Iterator[str]:
    course.admit(data)
    head = course.head
    yield f"request    {head.method} {head.path}, host {course.host or 'none'}"
    if course.scheme == "https":
        yield from _titled("listener", secure(loaded))
    status = course.last_hop()
    if status:
        yield "why        the gateway answers this itself, whatever the routes say"
        yield f"answer     {status}, Allow: {local.ALLOWED.decode()}"
        return
    try:
        index = course.route()
    except ProxyError as error:
        yield from _titled("no route" if error.status in (404, 405) else "why", course.why)
        raise
    place = loaded.where(("route", index))
    yield f"route      {shown.route[index].name!r}" + (f" ({place})" if place else "")
    yield from _titled("why", course.why)
    yield from _titled("captures", [f"{name} = {value}" for name, value in course.captures.items()])
    yield from _titled("rate", [_rate(rate) for rate in shown.route[index].rate])
    may, of_address = judged(loaded.config.route[index], course.client)
    yield from _titled("access", list(access(shown, shown.route[index], head, of_address)))
    if not may:
        course.is_taken = False
        yield f"answer     403: {of_address}"
        return
    yield from _shared_out(shown.route[index])
    yield from _action(loaded, shown, course, index)
    yield from _observed(loaded, shown, index, head.path)


def _shared_out(route: Route) -> Iterator[str]:
    """What becomes of requests besides where each goes."""
    if route.split is not None:
        yield f"split      by {route.split.sticky}: the same value, the same upstream"
    if route.mirror is not None:
        yield f"mirror     {route.mirror.share:.4g} of its requests to {route.mirror.to!r} as well"
    if route.priority != "normal":
        yield f"priority   {route.priority}"


def _action(loaded: Loaded, shown: Config, course: Course, index: int) -> Iterator[str]:
    route, as_shown = loaded.config.route[index], shown.route[index]
    if route.respond is not None:
        fixed = f"{route.respond.status}, fixed"
        yield f"answer     {'to health checks of gRPC' if route.respond.grpc_health else fixed}"
    elif route.redirect is not None:
        location = course.location(route)
        location = made_from(loaded, location, "route", index, "redirect")
        yield f"answer     {route.redirect.status}, Location: {location}"
    elif route.publish is not None:
        course.forward(route)
        yield from _published(shown, course, index)
    else:
        target = course.forward(route)
        target = made_from(loaded, target, "route", index, "rewrite")
        yield f"forwarded  {course.head.method} {target}"
        total = sum(route.to.values())
        for (name, weight), called in zip(route.to.items(), as_shown.to, strict=True):
            part = f", {weight} of {total}" if len(route.to) > 1 else ""
            yield f"upstream   {called!r}{part}"
            yield from _upstream(loaded, shown, index, name)


def _published(shown: Config, course: Course, index: int) -> Iterator[str]:
    """What it becomes, and where."""
    said = shown.route[index].publish
    assert said is not None
    topic = Topic(said.topic, tuple(course.captures)).fill(course.captures)
    if not is_topic(topic):
        course.is_taken = False
        yield "answer     400: the path names no topic"
        return
    batch = "; each of a batch" if said.batch else ""
    yield f"published  to topic {topic!r}{batch}, key {said.key or 'none'}"
    messaging = shown.messaging
    queue = messaging.kafka.get(said.to) or messaging.redis[said.to]
    where = ", ".join(queue.brokers) if isinstance(queue, Kafka) else queue.server
    yield f"queue      {said.to!r}  {where}"
    yield f"             acknowledged within {seconds_text(queue.timeout)}, else 504"
    yield f"             at most {size_text(queue.message)} a message"
    yield f"             context {', '.join(queue.inject) or 'none'}"


def _rate(rate: RateLimit) -> str:
    count = rate.burst or parse_limit(rate.limit)[0]
    by = f"for each {rate.key}" if rate.key else "for the route as a whole"
    return f"{rate.limit}, at most {count} at once, {by}; scope {rate.scope}"


def _upstream(loaded: Loaded, shown: Config, index: int, name: str) -> Iterator[str]:
    for server, weight in shown.upstream[name].everyone().items():
        yield f"             {server}  weight {weight}"
    if shown.mesh is not None and name == AWAY:
        yield "             wherever the connection was meant to go, else its host"
    elif shown.mesh is not None and name == APP and not shown.mesh.app:
        yield "             the port of this machine that was called"
    if shown.upstream[name].discover:
        yield f"             {shown.upstream[name].discover}  discovered"
    force = effective(loaded.config, loaded.config.route[index], name, loaded.where)
    for key, value in _in_force(force):
        yield f"           {key:<20}{value:<14}  {force.origin[key]}"


def _in_force(force: Effective) -> Iterator[tuple[str, str]]:
    for key in DURATIONS:
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


def _observed(loaded: Loaded, shown: Config, index: int, path: str) -> Iterator[str]:
    tracing, route = loaded.config.tracing, loaded.config.route[index]
    if path in tracing.untraced:
        yield f"sampling   never: tracing.untraced has {path}"
    else:
        sampler, by = _said(loaded, index, "sampler", route.trace.sampler, tracing.sampler)
        share, by_share = _said(loaded, index, "sample", route.trace.sample, tracing.sample)
        yield f"sampling   {_SAMPLERS[str(sampler)].format(float(str(share)))}"
        yield f"             sampler {sampler}: {by}; sample {share}: {by_share}"
    labels = {**shown.labels, **shown.route[index].labels}
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
