"""The course that one request takes through the gateway's own code, as far as nothing is sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from proxy.access.places import without
from proxy.config.access_places import hidden_queries
from proxy.config.effective import effective
from proxy.config.model import Config, Limits, Route
from proxy.http.edits import Edits
from proxy.http.forwarding import Forwarding
from proxy.http.h1 import RequestReader, check_partial
from proxy.http.head import RequestHead
from proxy.http.local import check_length, last_hop
from proxy.http.receive import check_underscores, receive
from proxy.http.target import Authorities, split_authority, without_port
from proxy.http.upgrade import check_tunnel
from proxy.routing.rewrite import compile_redirect, compile_rewrite
from proxy.routing.settle import settle
from proxy.routing.table import Asked, Table


@dataclass(frozen=True, slots=True)
class Rules:
    """What a configuration says about heads."""

    config: Config

    @property
    def limits(self) -> Limits:
        return self.config.limits

    def underscores(self, head: RequestHead) -> None:
        check_underscores(self.config.forwarding.underscores, head)


class Course:
    """One request on its way; the steps of `server/serve.py`, in their order.

    Each raises ProxyError where the gateway would answer with one.
    """

    def __init__(self, config: Config, shown: Sequence[Route]) -> None:
        self.config = config
        self.head = RequestHead()
        self.host = ""
        self.scheme = "http"  # of the client's connection
        self.client: str | None = None  # its address, if that is said
        self.listener = ""  # the name of that by which it comes in
        self.why: list[str] = []  # a line for each route that was asked
        self.captures: dict[str, str] = {}
        self.is_taken = False  # by a route, or by the gateway with a success
        self._table = Table.compile(config.route, shown)

    def admit(self, data: bytes) -> None:
        """Read the head."""
        rules = Rules(self.config)
        if data[0] < 0x21:
            check_partial(data, 0, rules.limits)
        self.head = receive(RequestReader(), data, rules, Authorities())
        self.head.scheme = self.scheme
        self.head.listener = self.listener
        self.host = split_authority(self.head.authority)[0]

    def last_hop(self) -> int:
        """The status of the gateway's own answer; 0 = routes are asked."""
        connects = any(route.connect for route in self.config.route)
        status = last_hop(self.head, connects)
        self.is_taken = 0 < status < 400
        return status

    def route(self) -> int:
        """Find the route; its place in the file."""
        head, asked = self.head, self._asked()
        self.why = self._table.explain(asked)
        try:
            found = settle(
                self._table, self.config.route, head, self.host, self._table.match(*asked)
            )
        finally:
            if head.path != asked[2]:
                self.why.append(f"encoded slashes are decoded: {head.path}")
                self.why += self._table.explain(self._asked())
        self.captures = found[1]
        self.is_taken = True
        return found[0]

    def _asked(self) -> Asked:
        head = self.head
        return self.host, head.method, head.path, head.query, head

    def location(self, route: Route) -> str:
        """Where a redirect leads."""
        assert route.redirect is not None
        make = compile_redirect(route.redirect, tuple(self.captures))
        host = without_port(self.head.authority)
        return make(self.head.path, self.head.tail, self.captures, host)

    def forward(self, route: Route) -> str:
        """The request target that the upstream sees."""
        for name in route.to:
            check_length(self.head.length, effective(self.config, route, name).body_limit)
        if self.head.protocol or self.head.method == "CONNECT":
            allowed = [protocol.lower() for protocol in route.upgrade]
            check_tunnel(self.head, allowed, connect=route.connect)
        rewrite = compile_rewrite(route)
        path = self.head.path if rewrite is None else rewrite(self.head.path, self.captures)
        said = self.config.forwarding
        rules = Forwarding(lambda _: False, said.x_forwarded, said.forwarded, said.via)
        rules.add(Edits(), self.head, b"", "http", False)  # finds out whether it goes in circles
        return without(path + self.head.tail, hidden_queries(self.config, route))
