"""Snapshot: all of the configuration that a request reads, compiled once and never changed.

A worker swaps its snapshot by one assignment; a story keeps the one it began with. What changes
while requests run (who is up, whose turn it is, what was retried) is in `upstream/state.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

from proxy.config.access_places import secret_attributes, secret_fields
from proxy.config.effective import Effective
from proxy.config.hedges import parse_hedge
from proxy.config.mesh_names import BYTES, PEERS
from proxy.config.model import Config, Retry, Route
from proxy.config.secrets import REDACTED
from proxy.errors import NoRoute
from proxy.http.forwarding import Forwarding
from proxy.http.head import RequestHead
from proxy.http.receive import check_underscores
from proxy.http.target import split_authority
from proxy.routing.hosts import LONGEST, MOST
from proxy.routing.leaf import NOTHING
from proxy.routing.rewrite import compile_rewrite
from proxy.routing.settle import is_particular, settle
from proxy.routing.split import Split
from proxy.routing.table import Table
from proxy.server.header_edits import edits_of_answers, edits_of_requests
from proxy.server.reply import Reply
from proxy.telemetry.blocks import RouteBlocks
from proxy.telemetry.custom import CustomAttributes
from proxy.tracing.propagate import Extractor, Injector
from proxy.tracing.sampling import Sampler
from proxy.tracing.trust import Networks
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.state import UpstreamState
from proxy.upstream.waiting import NORMAL

Captures = dict[str, str]
Answer = Callable[[RequestHead, Captures], Reply]

REPLAY = 64 * 1024  # bytes of a body kept for a try on a connection that had ended; linkerd: 64 KiB
FOREVER = 2**62  # the longest time in ns and the most bytes: 146 years and 4 EiB


class Target:
    """One upstream as one route uses it; times in ns, 0 = no limit. What changes is in `state`."""

    __slots__ = (
        "baggage",
        "body_limit",
        "bounds",
        "budget",
        "connect",
        "first_byte_ns",
        "handshake",
        "hedge",
        "idle_ns",
        "injector",
        "keep",
        "name",
        "per_try",
        "priority",
        "retry",
        "retry_statuses",
        "state",
        "stream_ns",
        "total_ns",
    )

    def __init__(self, state: UpstreamState, values: Effective, injector: Injector) -> None:
        self.name = state.name
        self.state = state
        self.stream_ns = _ns(values.stream_timeout)
        self.total_ns = _ns(_shorter(values.timeout, values.stream_timeout))
        per_try = values.retry.per_try if values.retry else 0
        self.connect = _shorter(values.connect_timeout, per_try)  # seconds
        self.handshake = values.tls_timeout  # seconds, of these
        self.first_byte_ns = _ns(_shorter(values.first_byte_timeout, per_try))
        self.per_try = per_try > 0 and self.first_byte_ns == _ns(per_try)  # is the shorter one
        self.idle_ns = _ns(values.idle_timeout)
        self.retry = values.retry
        self.keep = min(values.retry.keep, FOREVER) if values.retry else REPLAY
        statuses = [s for s in values.retry.on if isinstance(s, int)] if values.retry else []
        self.retry_statuses = frozenset(statuses) or None
        self.budget = state.budget if values.retry else None
        self.hedge = _hedge(values.retry)  # Hedge, if another try may begin beside the first
        self.body_limit = min(values.body_limit, FOREVER)
        self.baggage = values.propagate.baggage
        self.injector = injector  # writes the trace context
        self.bounds: Any = None  # Bounds, where the upstream has `limits`
        self.priority = NORMAL  # of the route's requests there


class RouteEntry:
    """One route, ready for requests; made by `compile.py`."""

    __slots__ = (
        "_split",
        "_targets",
        "access",
        "answer",
        "blocks",
        "compression",
        "errors",
        "grpc_web",
        "host_header",
        "is_health",
        "is_particular",
        "is_slow",
        "is_special",
        "maintenance",
        "message",
        "mirror",
        "needs_captures",
        "only",
        "rates",
        "request_edits",
        "response_edits",
        "rewrite",
        "route",
        "sampler",
        "sticky",
        "upgrades",
    )

    def __init__(
        self,
        route: Route,
        blocks: RouteBlocks,
        sampler: Sampler,
        targets: dict[str, Target],
        answer: Answer | None,
        own_fields: Container[str],
    ) -> None:
        self.route = route
        self.blocks = blocks
        self.sampler = sampler
        self.answer = answer
        self.rewrite = compile_rewrite(route) if route.rewrite is not None else None
        self.host_header = route.host_header.encode("ascii") if route.host_header else None
        self.request_edits = edits_of_requests(route.headers.request, own_fields)
        self.response_edits = edits_of_answers(route)
        self.grpc_web = route.grpc_web
        self.is_health = route.respond is not None and route.respond.grpc_health
        self.compression: Any = None  # what compresses its answers (`compressing.py`), if anything
        self.upgrades = tuple([protocol.lower() for protocol in route.upgrade])
        self.access: Any = None  # Access (`access.py`), if not everybody may come in
        self.rates: Any = None  # Rates (`rates.py`), if it limits how many requests come
        self.message: Any = None  # what makes a request one of queues (`messages.py`), if it is
        self.mirror: Any = None  # Mirroring (`mirrors.py`), if requests are copied
        self.sticky: Any = None  # what reads who a request is from, if its side is by that
        self.errors: Any = None  # Pages (`error_pages.py`) of the route and of all, if any
        self.maintenance: Any = None  # Closed (`maintenance.py`), if it may come to that
        self.is_special = (
            answer is not None
            or route.grpc_web
            or bool(route.rate)
            or route.mirror is not None
            or any(target.hedge is not None for target in targets.values())
            or route.maintenance is True
        )
        # Whether more is to be done before a request is sent than to send it.
        self.is_slow = (
            any(rate.scope == "shared" for rate in route.rate)
            or route.mirror is not None
            or any(target.hedge is not None for target in targets.values())
        )
        self.is_particular = is_particular(route)  # about how a path is written
        uses = (self.rewrite, route.redirect, route.rate or None, route.publish)
        self.needs_captures = any(use is not None for use in uses)
        # Where all its requests go, unless it is None.
        self.only = targets[next(iter(route.to))] if len(route.to) == 1 else None
        self._split = Split(route.to) if len(route.to) > 1 else None
        self._targets = targets if len(route.to) > 1 else None

    def guard(self, access: Any) -> None:
        """Ask who comes in."""
        self.access = access
        self.is_special = True

    def of_queue(self, message: Any) -> None:
        """What is sent has been, or becomes, a message."""
        self.message = message
        self.is_special = True

    def pick(self, random: float) -> Target:
        """The upstream that gets this request; `random` in [0, 1)."""
        if self.only is not None:
            return self.only
        if self._split is None or self._targets is None:
            raise NoRoute("the route leads nowhere")
        return self._targets[self._split.pick(random)]


class Snapshot:
    """Everything a request reads, and nothing that changes but a cache of hosts."""

    __slots__ = (
        "__weakref__",
        "_entries",
        "_hosts",
        "_routes",
        "_table",
        "attributes",
        "by_listener",
        "config",
        "connects",
        "cors",
        "errors",
        "extractor",
        "forwarding",
        "limits",
        "never",
        "passes_certificates",
        "request_headers",
        "request_id",
        "response_headers",
        "sampler",
        "streams",
        "tells_deadline",
        "trace_header",
        "untraced",
        "untrusted",
    )

    def __init__(
        self, config: Config, sampler: Sampler, entries: Sequence[RouteEntry], table: Table
    ) -> None:
        """`entries` stand as the routes of `table` do."""
        tracing = config.tracing
        self.config = config
        self.limits = config.limits
        self.extractor = Extractor(tracing.extract)
        self.sampler = sampler
        self.never = Sampler("never", 0.0)
        self.untraced = frozenset(tracing.untraced)
        self.untrusted = tracing.untrusted
        self.request_id = config.forwarding.request_id
        # In a mesh an address vouches for no identity, unless somebody says that it does.
        self.passes_certificates = config.mesh is None or config.forwarding.trust is not None
        self.tells_deadline = config.forwarding.deadline
        self.by_listener = any(entry.route.when.listener for entry in entries)
        self.cors = any(entry.route.cors is not None for entry in entries)
        self.connects = any(entry.route.connect for entry in entries)
        self.forwarding = _forwarding(config)
        secret = secret_fields(config)
        asked, answered = tracing.request_headers, tracing.response_headers
        self.request_headers = _captured(asked, "http.request.header.", secret)
        self.response_headers = _captured(answered, "http.response.header.", secret)
        self.attributes = CustomAttributes(config.attributes, secret_attributes(config)) or None
        self.trace_header = tracing.response_header.lower().encode("ascii")
        self.errors: Any = None  # Pages for what no route takes
        self.streams: dict[str, Any] = {}  # StreamRoutes, by the address of a listener without HTTP
        self._entries = list(entries)
        self._table = table
        self._routes = table.hosts
        self._hosts: dict[str, tuple[str, int]] = {}

    def parts(self) -> list[list[object]]:
        """All that it is made of, so that it can be freed piece by piece."""
        return [list(self._entries), list(self.config.route), *self._table.parts()]

    def match(self, head: RequestHead, host: str) -> tuple[RouteEntry, Captures]:
        """The route for a request to `host` and what its template captured.

        Raises NoRoute (404), WrongMethod (405), BadRequest (400).
        """
        leaf = self._routes.find(host, head.method, head.path, head.query, head)
        if leaf is not None:
            entry = self._entries[leaf.index]
            if not entry.is_particular:
                return entry, leaf.captures(head.path) if entry.needs_captures else NOTHING
        found = None if leaf is None else (leaf.index, leaf.captures(head.path))
        index, captures = settle(self._table, self.config.route, head, host, found)
        return self._entries[index], captures

    def expected(self, head: RequestHead, host: str, method: str) -> RouteEntry | None:
        """The route that would take the request with that method: the one whose answers those
        look like that the gateway gives in its place."""
        leaf = self._routes.find(host, method, head.path, head.query, head)
        return None if leaf is None else self._entries[leaf.index]

    def entry(self, index: int) -> RouteEntry:
        """The route with that place in the file."""
        return self._entries[index]

    def captures(self, head: RequestHead) -> Captures:
        """What the template of the request's route captured, of its path as it was matched."""
        host, _ = self.host(head.authority)
        leaf = self._routes.find(host, head.method, head.path, head.query, head)
        if leaf is None:
            return NOTHING  # it is no request, but a connection
        found = (leaf.index, leaf.captures(head.path))
        return settle(self._table, self.config.route, head, host, found)[1]

    def passes_bytes(self, endpoint: Endpoint) -> bool:
        """Whether it is asked for connections, and not for answers."""
        if endpoint.scheme != "unix":
            return endpoint.scheme == "tcp" or endpoint.upstream == PEERS + BYTES
        return any(streams.leads_to(endpoint.upstream) for streams in self.streams.values())

    def host(self, authority: str) -> tuple[str, int]:
        """(host, port or 0) of a checked authority, remembered."""
        known = self._hosts.get(authority)
        if known is None:
            known = split_authority(authority)
            if len(authority) <= LONGEST:
                if len(self._hosts) >= MOST:
                    self._hosts.clear()
                self._hosts[authority] = known
        return known

    def underscores(self, head: RequestHead) -> None:
        """Deal with field names such as X_Forwarded_For, which some servers read as a dash."""
        check_underscores(self.config.forwarding.underscores, head)


def _ns(seconds: float) -> int:
    return min(int(seconds * 1e9), FOREVER)


def _hedge(retry: Retry | None) -> Any:
    if retry is None or not retry.hedge or not retry.times:
        return None
    from proxy.upstream.hedge import Hedge  # which few configurations need

    after, share = parse_hedge(retry.hedge)
    return Hedge(_ns(after), share)


def _shorter(one: float, other: float) -> float:
    """Of two limits, of which 0 is none."""
    return min(one, other) if one and other else one or other


def _forwarding(config: Config) -> Forwarding:
    said = config.forwarding
    trust = Networks(config.tracing.trust if said.trust is None else said.trust)
    return Forwarding(trust.holds, said.x_forwarded, said.forwarded, said.via)


def _captured(
    names: list[str], prefix: str, secret: Container[str]
) -> list[tuple[bytes, str, str]]:
    """Fields that spans tell: the name, the attribute, and what it says in place of a secret."""
    lower = [name.lower() for name in names]
    return [(n.encode("ascii"), prefix + n, REDACTED if n in secret else "") for n in lower]
