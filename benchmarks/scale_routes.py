"""Instructions of finding a route and an endpoint, by number: `python -m benchmarks.scale_routes`.

Where `micro_routing` measures time, this counts (`calls.py`), so that a hundred instructions
more show. A row that grows with the number is a promise broken: only regular expressions may.
"""

from __future__ import annotations

import sys

from benchmarks import calls
from benchmarks.micro_routing import cases, routes
from proxy.config.model import Config, Route, Upstream, When
from proxy.http.h1 import RequestReader
from proxy.http.head import RequestHead
from proxy.http.receive import receive
from proxy.http.target import Authorities
from proxy.server.compile import Compiler
from proxy.server.snapshot import Snapshot
from proxy.upstream.balance import RoundRobin
from proxy.upstream.endpoint import Endpoint
from proxy.upstream.retry import Budget
from proxy.upstream.state import Upstreams

ROUTES = (10, 1_000, 10_000)
ENDPOINTS = (1, 2, 64, 1_000)
CONDITIONS = {
    "no condition": When(),
    "a method": When(method=["GET", "HEAD"]),
    "a field": When(header={"x-beta": "1"}),
    "a field by regex": When(header={"x-beta": "~[0-9]+"}),
    "a parameter": When(query={"v": "2"}),
}

RULES = Compiler(Config(), Upstreams()).run()
AUTHORITIES = Authorities()


def snapshot(made: list[Route]) -> Snapshot:
    forwarding = [
        Route(path=r.path, host=r.host, when=r.when, to={"b": 1}, rewrite=r.rewrite) for r in made
    ]
    upstream = {"b": Upstream(servers={"http://127.0.0.1:1": 1})}
    return Compiler(Config(route=forwarding, upstream=upstream), Upstreams()).run()


def request(path: str) -> RequestHead:
    head = f"GET {path} HTTP/1.1\r\nHost: h\r\nAccept: */*\r\nX-Beta: 1\r\n\r\n"
    return receive(RequestReader(), head.encode(), RULES, AUTHORITIES)


def find_cost(known: Snapshot, host: str, path: str) -> int:
    """For paths that are new objects each time, as a request's is, and have another id."""
    heads = [request(path.replace("42", f"{i:09}")) for i in range(calls.WARM + calls.CALLS)]
    return calls.count(known.match, [(head, host) for head in heads])


def show(name: str, numbers: list[int]) -> None:
    print(f"{name:<32}" + "".join(f"{number:>9,}" for number in numbers), flush=True)


def show_routes() -> None:
    show("a route, of so many:", list(ROUTES))
    known = {size: snapshot(routes(size)) for size in ROUTES}
    for name in list(cases(ROUTES[0]))[:-1]:  # "no route" is an exception, which costs more
        row = [find_cost(known[size], *cases(size)[name]) for size in ROUTES]
        show(name, row)
    simple = snapshot([Route(path="/api/v1/orders/{id}"), Route(path="/chunked/*")])
    show("/api/v1/orders/{id} of 2", [find_cost(simple, "h", "/api/v1/orders/42")])


def show_conditions() -> None:
    show("conditions:", [])
    for name, when in CONDITIONS.items():
        known = snapshot([Route(path="/a/{id}", when=when), Route(path="/b/{id}")])
        show(name, [find_cost(known, "h", "/a/42?u=1&v=2")])


def show_endpoints() -> None:
    show("an endpoint, of so many:", list(ENDPOINTS))
    row = []
    for number in ENDPOINTS:
        balancer = RoundRobin([Endpoint(f"http://host{i}") for i in range(number)])
        for _ in range(2 * number):
            balancer.pick(0, None, None)
        row.append(calls.count(balancer.pick, calls.same(0, None, None)))
    show("pick", row)


def show_the_rest() -> None:
    one = snapshot([Route(path="/*")])
    entry = one.match(request("/x"), "h")[0]
    show("the route's one upstream", [calls.count(entry.pick, calls.same(0.3))])
    show("a known host", [calls.count(one.host, calls.same("shop.example:8080"))])
    budget = Budget()
    show("a request for the budget", [calls.count(budget.request, calls.same(1000.5))])
    show("a retry from the budget", [calls.count(budget.take, calls.same(1000.5, 0.2))])


def main() -> int:
    if not calls.is_counting():
        return calls.run("benchmarks.scale_routes")
    show_endpoints()
    show_the_rest()
    show_conditions()
    show_routes()
    return 0


if __name__ == "__main__":
    sys.exit(main())
