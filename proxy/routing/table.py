"""The compiled routes: which one takes a request, and why.

`hosts.py` finds it, and this puts it into words. The table answers with the route's place in the
file; it must not know what routes do with requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from proxy.config.model import Route
from proxy.routing import shadow
from proxy.routing.conditions import Failure, compile_when, first_failure
from proxy.routing.demands import Fields
from proxy.routing.hosts import Hosts
from proxy.routing.leaf import Found, Leaf
from proxy.routing.pattern import parse, parse_host
from proxy.routing.zone import Zone

# What `match` takes: host, method, path, query, head.
Asked = tuple[str, str, str, str, Fields]


def is_denial(route: Route) -> bool:
    """Whether the route is there to keep requests away, as far as one can tell."""
    if route.respond is not None:
        return route.respond.status >= 400
    return route.redirect is not None


class Table:
    """All routes; immutable, so that a reload replaces it by one assignment."""

    __slots__ = ("_has_methods", "_leaves", "_shown", "hosts")

    def __init__(self, shown: Sequence[Route], zones: dict[str, Zone], leaves: list[Leaf]) -> None:
        self._shown = shown  # the routes, for words about them alone
        self._leaves = leaves
        self._has_methods = any(leaf.conditions and leaf.conditions.methods for leaf in leaves)
        self.hosts = Hosts(zones)  # for those who have no use for captures

    @classmethod
    def compile(cls, routes: Sequence[Route], shown: Sequence[Route] | None = None) -> Table:
        """The table of `routes`; ValueError for a path, host or condition that is none.

        `shown` are the same routes as they may be shown, where they hold secrets.
        """
        builder = TableBuilder(routes, shown)
        for _ in builder.steps():
            pass
        return builder.table()

    def parts(self) -> list[list[object]]:
        """What it is made of; see `Zone.parts`."""
        return [list(self._leaves), *(zone.parts() for zone in self.hosts.all())]

    def match(self, host: str, method: str, path: str, query: str, head: Fields) -> Found | None:
        """The index of the route that takes the request, and its captures; None if none does.

        `host` is in lower case and without port, `path` normalised, `query` without "?". The
        captures are parts of `path` as they stand there, percent-encoded; a prefix captures what
        it left as "*" ("", "/" or "/x/y"). They may be shared, so nobody changes them.
        """
        leaf = self.hosts.find(host, method, path, query, head)
        return None if leaf is None else (leaf.index, leaf.captures(path))

    def allowed(
        self, host: str, path: str, query: str, head: Fields
    ) -> tuple[tuple[str, ...], int]:
        """The methods with which some route would take this request, sorted, and the index of the
        first such route.

        Asked where `match` found none: ((), -1) says that more than the method keeps routes away.
        Routes with an `order` do not count: in lists of control planes the method is as good a
        condition as any other, and what fits none gets 404.
        """
        if not self._has_methods:  # most do not, and a 404 need not walk twice
            return (), -1
        methods: set[str] = set()
        first = -1
        for leaf in self.candidates(host, path):
            conditions = leaf.conditions
            if conditions is not None and conditions.methods is not None and not leaf.rank:
                one = min(conditions.methods)
                if first_failure(conditions, one, query, head) is None:
                    methods |= conditions.methods
                    first = leaf.index if first < 0 else first
        return tuple(sorted(methods)), first

    def explain(self, asked: Asked) -> list[str]:
        """One line for each route whose host and path fit, in the order in which they are asked."""
        host, method, path, query, head = asked
        lines = []
        taken = False
        for leaf in self.candidates(host, path):
            conditions = leaf.conditions
            failure = first_failure(conditions, method, query, head) if conditions else None
            if failure is not None:
                verdict = failure.text(self._wanted(leaf.index, failure))
            else:
                verdict = "fits too, but is less specific or later" if taken else "matches"
                taken = True
            lines.append(f"{self._label(leaf.index)}: {verdict}")
        return lines or self._near_misses(host, path)

    def candidates(self, host: str, path: str) -> list[Leaf]:
        """Every route that fits, once, even if several of its hosts do."""
        fitting = (leaf for zone in self.hosts.zones(host) for leaf in zone.candidates(path))
        return list(dict.fromkeys(fitting))

    def shadowed(self) -> list[tuple[int, int, str]]:
        """(route that can never match, route that takes all its requests, reason), by file order.

        Finds what follows from hosts, paths and conditions as they are written; it proves nothing
        about two different regular expressions.
        """
        hosts = [{parse_host(h) for h in route.host or ["*"]} for route in self._shown]
        return shadow.find(self._leaves, hosts, self._label)

    def _wanted(self, index: int, failure: Failure) -> str:
        """The condition as it may be shown."""
        if failure.kind in ("method", "scheme", "listener", "grpc"):
            return failure.wanted
        shown: dict[str, str] = getattr(self._shown[index].when, failure.kind)
        return {name.lower(): wanted for name, wanted in shown.items()}[failure.name.lower()]

    def _label(self, index: int) -> str:
        route = self._shown[index]
        host = f"{' or '.join(route.host)} " if route.host else ""
        name = f"{route.name} " if route.name and route.name != route.path else ""
        return f"route[{index}] {name}({host}{route.path})"

    def _near_misses(self, host: str, path: str) -> list[str]:
        """What to say when nothing fits: most often it is a slash at the end."""
        other = path.removesuffix("/") if path.endswith("/") and len(path) > 1 else path + "/"
        end = "with" if other.endswith("/") else "without"
        return [f"no route has host {host} and path {path}"] + [
            f"{self._label(leaf.index)}: would take {other}, {end} a slash at the end"
            for leaf in self.candidates(host, other)
        ]


class TableBuilder:
    """A table in the making: `steps` does it a route at a time."""

    __slots__ = ("_leaves", "_routes", "_shown", "_zones")

    def __init__(self, routes: Sequence[Route], shown: Sequence[Route] | None = None) -> None:
        self._routes = routes
        self._shown = shown or routes
        self._leaves: list[Leaf] = []
        self._zones: dict[str, Zone] = {}

    def steps(self) -> Iterator[None]:
        """Yields after each route; ValueError as of `Table.compile`."""
        for index, route in enumerate(self._routes):
            conditions = compile_when(route.when, is_denial(route), route.grpc_web)
            self._leaves.append(Leaf(index, parse(route.path), conditions, route.order or 0))
            yield
        hosts = self._zones
        for leaf in sorted(self._leaves, key=Leaf.order):
            for host in dict.fromkeys(parse_host(h) for h in self._routes[leaf.index].host or "*"):
                zone = hosts.get(host)
                if zone is None:
                    zone = hosts[host] = Zone()
                zone.add(leaf)
            yield

    def table(self) -> Table:
        """What `steps` has made."""
        return Table(self._shown, self._zones, self._leaves)
