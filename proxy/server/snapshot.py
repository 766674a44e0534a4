"""Snapshot: all of the configuration that a request reads, compiled once and never changed.

A worker swaps its snapshot by one assignment; a story keeps the one it began with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from proxy.config.attributes import from_labels
from proxy.config.effective import Effective, effective
from proxy.config.model import Config, HeaderEdit, Redirect, Respond, Route
from proxy.config.model import Upstream as UpstreamConfig
from proxy.errors import BadRequest, NoRoute
from proxy.http.edits import Edits
from proxy.http.forwarding import Forwarding
from proxy.http.head import Pair, RequestHead
from proxy.http.path import decode_slashes
from proxy.http.target import split_authority
from proxy.routing.pattern import parse
from proxy.routing.rewrite import compile_redirect, compile_rewrite
from proxy.routing.split import Split
from proxy.routing.table import Table
from proxy.server.reply import Reply
from proxy.telemetry.blocks import RouteBlocks
from proxy.telemetry.custom import CustomAttributes
from proxy.tracing.propagate import Extractor, Injector
from proxy.tracing.sampling import Sampler
from proxy.tracing.trust import Networks
from proxy.upstream.balance import RoundRobin
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.retry import Budget

Captures = dict[str, str]
Answer = Callable[[RequestHead, Captures], Reply]


class RouteEdits:
    """Header changes of one direction that a route asks for, encoded."""

    __slots__ = ("_add", "_gone")

    def __init__(self, edit: HeaderEdit) -> None:
        changed = [*edit.remove, *edit.set]
        self._gone = frozenset(name.lower().encode("ascii") for name in changed)
        self._add: list[Pair] = [
            (name.lower().encode("ascii"), value.encode("latin-1", "replace"))
            for name, value in (*edit.set.items(), *edit.add.items())
        ]

    def apply(self, edits: Edits) -> None:
        if self._gone:
            edits.remove(self._gone)
        edits.extend(self._add)


def _edits(edit: HeaderEdit) -> RouteEdits | None:
    return RouteEdits(edit) if edit.set or edit.add or edit.remove else None


class Target:
    """One upstream as one route uses it; times in ns, 0 = no limit."""

    __slots__ = (
        "balancer",
        "body_limit",
        "budget",
        "connect",
        "first_byte_ns",
        "idle_ns",
        "name",
        "retry",
        "retry_statuses",
        "total_ns",
    )

    def __init__(self, name: str, balancer: RoundRobin, values: Effective) -> None:
        self.name = name
        self.balancer = balancer
        self.total_ns = int(values.timeout * 1e9)
        self.connect = values.connect_timeout  # seconds
        self.first_byte_ns = int(values.first_byte_timeout * 1e9)
        self.idle_ns = int(values.idle_timeout * 1e9)
        self.retry = values.retry
        self.retry_statuses = frozenset(values.retry.on) if values.retry else frozenset[int]()
        self.budget = Budget(values.retry.budget) if values.retry else None
        self.body_limit = values.body_limit


class RouteEntry:
    """One route, ready for requests."""

    __slots__ = (
        "_split",
        "_targets",
        "answer",
        "blocks",
        "captures",
        "host_header",
        "request_edits",
        "response_edits",
        "rewrite",
        "route",
        "sampler",
    )

    def __init__(self, config: Config, route: Route, balancers: dict[str, RoundRobin]) -> None:
        self.route = route
        self.answer = _answer(route)
        self.rewrite = compile_rewrite(route)
        self.host_header = route.host_header.encode("ascii") if route.host_header else None
        self.request_edits = _edits(route.headers.request)
        self.response_edits = _edits(route.headers.response)
        self.sampler = _sampler(config, route)
        template = parse(route.path).template
        labels = {**config.labels, **route.labels}
        labels.update(from_labels(config.attributes, labels))
        self.blocks = RouteBlocks(
            route.name or route.path, template, labels, _rewritten(route, template)
        )
        self._split = Split(dict(route.to)) if route.to else None
        self._targets = {
            name: Target(name, balancers[name], effective(config, route, name)) for name in route.to
        }

    def pick(self, random: float) -> Target:
        """The upstream that gets this request; `random` in [0, 1)."""
        if self._split is None:
            raise NoRoute("the route leads nowhere")
        return self._targets[self._split.pick(random)]


def _rewritten(route: Route, template: str | None) -> str | None:
    """url.template of the CLIENT span, None = the same as http.route."""
    rewrite = route.rewrite
    if rewrite is None or template is None:
        return None
    if rewrite.path is not None:
        return rewrite.path
    if rewrite.strip is not None:
        return template.removeprefix(rewrite.strip.rstrip("/")) or "/"
    return (rewrite.prefix or "").rstrip("/") + "/*"


def _sampler(config: Config, route: Route) -> Sampler:
    kind = route.trace.sampler or config.tracing.sampler
    sample = route.trace.sample if route.trace.sample is not None else config.tracing.sample
    return Sampler(kind, sample)


def _answer(route: Route) -> Answer | None:
    if route.respond is not None:
        reply = _fixed(route.respond)
        return lambda head, captures: reply
    if route.redirect is not None:
        return _moved(route.redirect, parse(route.path).captures)
    return None


def _fixed(respond: Respond) -> Reply:
    headers = [(n.lower().encode(), v.encode("latin-1")) for n, v in respond.headers.items()]
    if respond.body and not any(n == b"content-type" for n, _ in headers):
        headers.append((b"content-type", b"text/plain; charset=utf-8"))
    return Reply(respond.status, headers, respond.body.encode())


def _moved(redirect: Redirect, names: Sequence[str]) -> Answer:
    location = compile_redirect(redirect, names)

    def answer(head: RequestHead, captures: Captures) -> Reply:
        to = location(head.path, head.query, captures).encode("ascii")
        return Reply(redirect.status, [(b"location", to)], b"")

    return answer


class Snapshot:
    """Everything a request reads. Raises ValueError for what a config check would have refused."""

    __slots__ = (
        "_entries",
        "_hosts",
        "_table",
        "attributes",
        "baggage",
        "balancers",
        "config",
        "endpoints",
        "extractor",
        "forwarding",
        "injector",
        "limits",
        "never",
        "request_headers",
        "request_id",
        "response_headers",
        "sampler",
        "trace_header",
        "untraced",
        "untrusted",
    )

    def __init__(self, config: Config, offset: int = 0) -> None:
        tracing = config.tracing
        self.config = config
        self.limits = config.limits
        self.extractor = Extractor(tracing.extract)
        self.injector = Injector(tracing.inject)
        self.sampler = Sampler(tracing.sampler, tracing.sample)
        self.never = Sampler("never", 0.0)
        self.untraced = frozenset(tracing.untraced)
        self.untrusted = tracing.untrusted
        self.baggage = tracing.baggage
        self.request_id = config.forwarding.request_id
        self.forwarding = _forwarding(config)
        self.request_headers = _captured(tracing.request_headers, "http.request.header.")
        self.response_headers = _captured(tracing.response_headers, "http.response.header.")
        self.attributes = CustomAttributes(config.attributes) or None
        self.trace_header = tracing.response_header.lower().encode("ascii")
        self.endpoints = {name: _endpoints(name, u) for name, u in config.upstream.items()}
        self.balancers = {n: RoundRobin(e, offset) for n, e in self.endpoints.items()}
        self._entries = [RouteEntry(config, route, self.balancers) for route in config.route]
        self._table = Table.compile(config.route)
        self._hosts: dict[str, tuple[str, int]] = {}

    def match(self, head: RequestHead) -> tuple[RouteEntry, Captures] | None:
        """The route for a request and what its template captured; None = 404."""
        host = self.host(head.authority)[0]
        found = self._table.match(host, head.method, head.path, head.query, head)
        if found is None:
            return None
        entry = self._entries[found[0]]
        if entry.route.encoded_slash != "keep" and "%2F" in head.path:
            return self._with_slashes(head, entry)
        return entry, found[1]

    def _with_slashes(self, head: RequestHead, entry: RouteEntry) -> tuple[RouteEntry, Captures]:
        if entry.route.encoded_slash == "reject":
            raise BadRequest("this route takes no encoded slash (%2F) in a path")
        head.path = decode_slashes(head.path)
        found = self.match(head)
        if found is None:
            raise NoRoute("no route matches this request once %2F is decoded")
        return found

    def host(self, authority: str) -> tuple[str, int]:
        """(host, port or 0) of a checked authority, remembered."""
        known = self._hosts.get(authority)
        if known is None:
            if len(self._hosts) >= 1024:
                self._hosts.clear()
            known = self._hosts[authority] = split_authority(authority)
        return known

    def underscores(self, head: RequestHead) -> None:
        """Deal with field names such as X_Forwarded_For, which some servers read as a dash."""
        policy = self.config.forwarding.underscores
        if policy == "reject":
            raise BadRequest("a header field name has an underscore")
        if policy == "drop":
            head.drop_underscores()


def _forwarding(config: Config) -> Forwarding:
    said = config.forwarding
    trust = Networks(config.tracing.trust if said.trust is None else said.trust)
    return Forwarding(trust.holds, said.x_forwarded, said.forwarded, said.via)


def _captured(names: list[str], prefix: str) -> list[tuple[bytes, str]]:
    return [(name.lower().encode("ascii"), prefix + name.lower()) for name in names]


def _endpoints(name: str, upstream: UpstreamConfig) -> list[Endpoint]:
    return [Endpoint(url, weight, name) for url, weight in upstream.servers.items()]
