"""What is always the same about requests of one kind, encoded once.

A *kind* is all that determines a span's name, status and low-cardinality attributes: route,
method, status, error, scheme, version for the SERVER side, and the endpoint for the CLIENT side.
Its block holds those as bytes for spans and logs, and the histogram that counts it; at the end of
a request one dictionary lookup finds it, and mostly none, since it is of the same kind as the one
before. Blocks belong to a route and die with its snapshot, the numbers do not; a block goes too
when the registry has forgotten a number of it: what would be counted there is reported no more.
Rules: HTTP semantic conventions 1.44, http-spans.md and http-metrics.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from proxy.config.attributes import RESERVED  # a label so called would be an attribute twice
from proxy.kernel.counts import Histogram, Number
from proxy.telemetry import instruments, protobuf
from proxy.telemetry.metrics import Attributes, Registry

OTHER = "_OTHER"  # http.request.method of those that are not in [tracing] known_methods
# error.type of answers of 4xx
CLIENTS_ERRORS = frozenset({"upgrade_refused", "rate_limited", "unauthenticated", "forbidden"})
LOST = "hedge_lost"  # another try, which ran beside it, was quicker
GONE = "client_gone"  # in the place of an error: the client left, which is nobody's fault

SPAN_ATTRIBUTES, LOG_ATTRIBUTES = 9, 6  # field numbers in Span and LogRecord
KIND_SERVER, KIND_CLIENT = 2, 3
STATUS_ERROR = protobuf.delimited(15, b"\x18\x02")  # Span.status = { code: STATUS_CODE_ERROR }
NO_MESSAGE = '"error_message":"",'  # how the constant members of a record end
SEVERITIES = ((9, "INFO"), (13, "WARN"), (17, "ERROR"))  # logs data model, SeverityNumber

KINDS_LIMIT = 512  # blocks kept for each route; beyond it all are made anew
CLIENTS_LIMIT = 4096  # the same of attempts, for a thousand endpoints; 2 KB each (benchmarks.scale)

ALL, OWN, TRIES = 0, 1, 2  # of a route's requests: all; all but the tries; the tries alone

ServerKind = tuple[str, int, str, str, str]  # method, status, error, scheme, version
# method, address, upstream, scheme, version, status, error
ClientKind = tuple[str, str, str, str, str, int, str]
Rpc = tuple[str, str]  # of a gRPC call, behind those: rpc.method, rpc.response.status_code
Call = tuple[object, ...]


class RouteBlocks:
    """A route as telemetry sees it, and the blocks made for it so far, by one Recorder.

    `name`: the route's name, "" where no route matched. `template`: `http.route` and the span
    name's second word, None = none. `labels`: the configuration's and the route's, merged.
    `upstream_template`: `url.template` after a rewrite, None = the same as `template`. `parts`:
    ALL, or what nobody else tells.
    """

    __slots__ = (
        "calls", "clients", "labels", "last", "latest", "methods", "name", "parts", "servers",
        "services", "template", "upstream_template",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        template: str | None,
        labels: Mapping[str, str],
        upstream_template: str | None = None,
        parts: int = ALL,
    ) -> None:
        self.name = name
        self.parts = parts
        self.template = template
        self.upstream_template = upstream_template or template
        self.labels = {k: v for k, v in labels.items() if not k.startswith(RESERVED)}
        self.services: dict[str, str] = {}  # upstreams that are not called as their services are
        self.servers: dict[ServerKind, ServerBlock] = {}
        self.clients: dict[ClientKind, ClientBlock] = {}
        self.calls: dict[Call, ServerBlock | ClientBlock] = {}  # of gRPC
        # of gRPC that some upstream knows, or the route names
        self.methods: frozenset[str] = frozenset()
        # Those that were found last are compared with first; they are among those above.
        self.last: ServerBlock | None = None
        self.latest: dict[str, ClientBlock] = {}  # by address

    def server(self, kind: ServerKind, registry: Registry) -> ServerBlock:
        """Make and keep the block that `servers` does not have yet."""
        if len(self.servers) >= KINDS_LIMIT:
            self.servers.clear()
            self.last = None
        block = self.servers[kind] = ServerBlock(self, kind, registry)
        return block

    def client(self, kind: ClientKind, address: tuple[str, int], registry: Registry) -> ClientBlock:
        """Make and keep the block that `clients` does not have yet; `address`: host, port."""
        if len(self.clients) >= CLIENTS_LIMIT:
            self.clients.clear()
            self.latest.clear()
        block = self.clients[kind] = ClientBlock(self, kind, address, registry)
        return block

    def clear(self) -> None:
        """Forget all blocks; they are made anew when they are needed."""
        for found in (self.servers, self.clients, self.calls, self.latest):
            found.clear()
        self.last = None

    def let_go(self) -> None:
        """Forget the blocks whose numbers the registry has forgotten."""
        self.last = None
        self.latest.clear()
        for server in [kind for kind, block in self.servers.items() if not block.is_kept()]:
            del self.servers[server]
        for client in [kind for kind, block in self.clients.items() if not block.is_kept()]:
            del self.clients[client]
        for call in [kind for kind, found in self.calls.items() if not found.is_kept()]:
            del self.calls[call]


class ServerBlock:
    """One kind of answer of one route."""

    __slots__ = (
        "call_duration", "code", "duration", "error", "json", "kind_error", "log", "method",
        "other", "parts", "request_size", "response_size", "scheme", "shown", "span", "status",
        "version",
    )  # fmt: skip

    def __init__(
        self, route: RouteBlocks, kind: ServerKind, registry: Registry, rpc: Rpc | None = None
    ) -> None:
        method, status, error, scheme, version = kind
        self.parts = route.parts
        self.method = method
        self.status = status
        self.kind_error = error
        self.scheme = scheme
        self.version = version
        self.other = method == OTHER or (rpc is not None and rpc[0] == OTHER)  # told apart
        error_type = server_error(status, error)
        ours = error_type and error_type not in CLIENTS_ERRORS
        pairs = _pairs(
            ("http.request.method", method),
            ("url.scheme", scheme),
            ("http.route", route.template or ""),
            ("http.response.status_code", status),
            ("error.type", error_type),
            ("network.protocol.version", version),
            ("spangate.route", route.name),
            ("spangate.client_gone", error == GONE),
            *route.labels.items(),
        )
        said = pairs + _call_pairs(rpc)
        name = _name(method, route.template) if rpc is None else _call_name(rpc)
        self.span = (
            protobuf.delimited(5, protobuf.text(name))
            + bytes((0x30, KIND_SERVER))
            + protobuf.attributes(SPAN_ATTRIBUTES, said)
            + (STATUS_ERROR if ours else b"")
        )
        self.shown = shown = status or (499 if error == GONE else 0)
        self.code = code = "" if rpc is None else rpc[1]
        self.log = _log(f"{name} {code or shown}", _severity(shown, bool(ours), code), said)
        self.error = error_type or (GONE if error == GONE else "")
        self.json = _json(route, shown, self.error, code)
        self.call_duration: Histogram | None = None
        if rpc is not None:
            more = _pairs(("error.type", error_type), ("spangate.route", route.name))
            self.call_duration = registry.histogram(
                instruments.SERVER_CALL_DURATION, (*_call_pairs(rpc), *more, *route.labels.items())
            )
        self.duration = registry.histogram(instruments.SERVER_DURATION, pairs)
        self.request_size: Histogram | None = None  # opt-in; the recorder puts them here
        self.response_size: Histogram | None = None

    def keep_quiet(self) -> None:
        """Report no series in which nothing was counted: the block is for records alone."""
        for one in (self.duration, self.request_size, self.response_size, self.call_duration):
            if one is not None and not one.count:
                one.reported = 0

    def is_kept(self) -> bool:
        others = (self.request_size, self.response_size, self.call_duration)
        return self.duration.kept and all(other is None or other.kept for other in others)

    def measure_bodies(self, route: RouteBlocks, kind: ServerKind, registry: Registry) -> None:
        """Count body sizes too."""
        method, status, _, scheme, _ = kind
        pairs = _pairs(
            ("http.request.method", method),
            ("url.scheme", scheme),
            ("http.route", route.template or ""),
            ("http.response.status_code", status),
            ("spangate.route", route.name),
            *route.labels.items(),
        )
        self.request_size = registry.histogram(instruments.REQUEST_SIZE, pairs)
        self.response_size = registry.histogram(instruments.RESPONSE_SIZE, pairs)


class ClientBlock:
    """One kind of outcome at one endpoint."""

    __slots__ = (
        "call_duration", "duration", "kind_error", "method", "other", "reused", "scheme", "span",
        "status", "upstream", "url", "version",
    )  # fmt: skip

    def __init__(
        self, route: RouteBlocks, kind: ClientKind, address: tuple[str, int],
        registry: Registry, rpc: Rpc | None = None,
    ) -> None:  # fmt: skip
        method, authority, upstream, scheme, version, status, error = kind
        self.method = method
        self.upstream = upstream
        self.scheme = scheme
        self.version = version
        self.status = status
        self.kind_error = error
        self.other = method == OTHER or (rpc is not None and rpc[0] == OTHER)
        error_type = client_error(status, error)
        pairs = _pairs(
            ("http.request.method", method),
            ("server.address", address[0]),
            ("server.port", address[1]),
            ("http.response.status_code", status),
            ("error.type", error_type),
            ("network.protocol.version", version),
            ("spangate.upstream", upstream),
            ("spangate.client_gone", error == GONE),
            ("spangate.hedge.lost", error == LOST),
            *route.labels.items(),
        )
        template = route.upstream_template
        unix = authority.startswith("unix:")
        more = _pairs(
            ("peer.service", route.services.get(upstream, upstream) or named(address[0])),
            ("url.template", template or ""),
            ("network.transport", "unix" if unix else ""),
        )
        name = _name(method, template) if rpc is None else _call_name(rpc)
        self.span = (
            protobuf.delimited(5, protobuf.text(name))
            + bytes((0x30, KIND_CLIENT))
            + protobuf.attributes(SPAN_ATTRIBUTES, pairs + more + _call_pairs(rpc))
            + (STATUS_ERROR if error_type else b"")
        )
        # Whatever a configured URL holds before "@" is a credential (url.full: MUST NOT show it).
        place = "localhost" if unix else authority.rpartition("@")[2]
        self.url = protobuf.text(f"{scheme}://{place}")
        self.duration = registry.histogram(instruments.CLIENT_DURATION, pairs)
        self.call_duration: Histogram | None = None
        if rpc is not None:
            told = _pairs(("error.type", error_type), *endpoint_attributes(upstream, *address))
            self.call_duration = registry.histogram(
                instruments.CLIENT_CALL_DURATION, (*_call_pairs(rpc), *told, *route.labels.items())
            )
        self.reused: Number = registry.number(
            instruments.UPSTREAM_REUSED, endpoint_attributes(upstream, *address)
        )

    def is_kept(self) -> bool:
        call = self.call_duration
        return self.duration.kept and self.reused.kept and (call is None or call.kept)


def endpoint_attributes(upstream: str, host: str, port: int) -> Attributes:
    """The attributes of numbers that are counted for each endpoint."""
    return _pairs(("spangate.upstream", upstream), ("server.address", host), ("server.port", port))


def server_error(status: int, error: str) -> str:
    """error.type of a SERVER span, which is an error exactly when this is not empty.

    An answer of 4xx is the client's error, not ours (http-spans.md "Status"); an answer that
    broke off is one whatever its status said.
    """
    if error == GONE:
        return ""
    if status >= 500:
        return error or str(status)
    return "" if error == str(status) else error


def because(span: bytes, why: str) -> bytes:
    """A block's `span` whose status says why, if it is an error."""
    if not span.endswith(STATUS_ERROR):
        return span
    message = protobuf.delimited(2, protobuf.text(why))
    return span.removesuffix(STATUS_ERROR) + protobuf.delimited(15, message + b"\x18\x02")


def named(host: str) -> str:
    """A host as a service, "" if it is an address."""
    return "" if ":" in host or host.replace(".", "").isdigit() else host


def client_error(status: int, error: str) -> str:
    """error.type of a CLIENT span: here 4xx is an error too."""
    if error in (GONE, LOST):
        return ""
    return error or (str(status) if status >= 400 else "")


def _pairs(*pairs: tuple[str, str | int | bool]) -> Attributes:
    """Those that have a value; an attribute without one is not written."""
    return tuple(pair for pair in pairs if pair[1])


def _name(method: str, template: str | None) -> str:
    word = "HTTP" if method == OTHER else method
    return f"{word} {template}" if template else word


def _call_name(rpc: Rpc) -> str:
    """rpc-spans.md "Name": the method, or the system where it is not known."""
    return rpc[0] if rpc[0] != OTHER else "grpc"


def _call_pairs(rpc: Rpc | None) -> Attributes:
    if rpc is None:
        return ()
    return (
        ("rpc.system.name", "grpc"),
        ("rpc.method", rpc[0]),
        ("rpc.response.status_code", rpc[1]),
    )


def _severity(status: int, is_error: bool, code: str) -> tuple[int, str]:
    is_refused = status >= 400 or code not in ("", "OK")
    return SEVERITIES[2 if is_error else 1 if is_refused else 0]


def _log(body: str, severity: tuple[int, str], pairs: Attributes) -> bytes:
    """The constant fields of a LogRecord: severity, text, body, attributes, event name."""
    number, name = severity
    return (
        bytes((0x10, number))
        + protobuf.delimited(3, name.encode())
        + protobuf.delimited(5, protobuf.any_value(body))
        + protobuf.attributes(LOG_ATTRIBUTES, pairs)
        + protobuf.delimited(12, b"http.server.request")
    )


def _json(route: RouteBlocks, status: int, error: str, code: str) -> str:
    """The constant members of an access line, with a comma behind each."""
    members = {"status": status, "route": route.name, "error": error, "labels": route.labels}
    if code:
        members["grpc_status"] = code
    said = json.dumps(members, separators=(",", ":"))
    return said.removeprefix("{").removesuffix("}") + "," + NO_MESSAGE
