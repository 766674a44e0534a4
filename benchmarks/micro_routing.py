"""Time of one `Table.match`, by number of routes: `python -m benchmarks.micro_routing`.

The routes are what a gateway in front of many services has: for each service a template, an
exact path, a prefix and a route with a method condition, spread over hosts and any host.
"""

from __future__ import annotations

import timeit

from proxy.config.model import Route, When
from proxy.routing.table import Table

SIZES = (10, 1_000, 10_000)
CALLS = 20_000


class NoFields:
    scheme = "http"
    listener = ""

    def get(self, name: bytes) -> bytes | None:
        return None

    def each(self, name: bytes) -> list[bytes]:
        return []


def routes(count: int) -> list[Route]:
    """`count` routes; those that the cases ask for are the last ones."""
    made: list[Route] = []
    for i in range(count // 5 + 1):
        made += [
            Route(path=f"/api/service{i}/{{id}}"),
            Route(path=f"/service{i}/health"),
            Route(path=f"/service{i}/*"),
            Route(path=f"/orders{i}/{{id}}/items", when=When(method=["GET"])),
            Route(path=f"/shop{i}/*", host=[f"shop{i}.example", f"*.shop{i}.example"]),
        ]
    return made[:count]


def cases(count: int) -> dict[str, tuple[str, str]]:
    """What is asked: name -> (host, path)."""
    last = (count - 1) // 5
    return {
        "exact /service/health": ("gate.example", f"/service{last}/health"),
        "template /api/service/{id}": ("gate.example", f"/api/service{last}/42"),
        "template and method": ("gate.example", f"/orders{last}/42/items"),
        "prefix /service/*": ("gate.example", f"/service{last}/x"),
        "host and prefix": (f"shop{last}.example", f"/shop{last}/x"),
        "wildcard host and prefix": (f"a.shop{last}.example", f"/shop{last}/x"),
        "no route": ("gate.example", "/nothing/here"),
    }


def nanoseconds(table: Table, host: str, path: str) -> float:
    head = NoFields()
    timer = timeit.Timer(lambda: table.match(host, "GET", path, "", head))
    return min(timer.repeat(5, CALLS)) / CALLS * 1e9


def main() -> None:
    tables = {count: Table.compile(routes(count)) for count in SIZES}
    print(f"{'ns per match, routes:':<30}" + "".join(f"{count:>10,}" for count in SIZES))
    for name in cases(SIZES[0]):
        row = [nanoseconds(table, *cases(count)[name]) for count, table in tables.items()]
        print(f"{name:<30}" + "".join(f"{value:>10.0f}" for value in row))


if __name__ == "__main__":
    main()
