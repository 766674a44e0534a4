"""No module needs, in a circle, a module that needs it: what is understood first can be read first.

Imports for types alone count too, since a reader has to follow them as well. And what is below a
head's interface is looked at in `proxy/http` alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PACKAGES = (
    "otlp", "formats", "collector", "http", "upstream", "telemetry", "routing", "tracing", "config",
    "server", "hub",
)  # fmt: skip


def modules(package: str) -> dict[str, Path]:
    found = {}
    for path in sorted((ROOT / "proxy" / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = path
    return found


@cache
def needed(path: Path) -> frozenset[str]:
    """Full names of everything imported, `from package import module` as both."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return frozenset(names)


def circles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    """Each circle that a walk from the first module to the last one comes upon."""
    done: set[str] = set()
    for start in graph:
        trail: list[str] = []
        stack: list[tuple[str, Iterator[str]]] = []

        def enter(name: str, trail: list[str] = trail, stack: list = stack) -> None:
            trail.append(name)
            stack.append((name, iter(sorted(graph[name]))))

        if start not in done:
            enter(start)
        while stack:
            name, following = stack[-1]
            after = next(following, None)
            if after is None:
                done.add(name)
                trail.pop()
                stack.pop()
            elif after in trail:
                yield [*trail[trail.index(after) :], after]
            elif after not in done:
                enter(after)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_of_modules(package: str) -> None:
    inside = modules(package)
    graph = {name: (needed(path) & inside.keys()) - {name} for name, path in inside.items()}
    found = [" -> ".join(circle) for circle in circles(graph)]
    assert not found, "\n".join(found)


def test_a_circle_is_found() -> None:
    assert list(circles({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == [["b", "c", "b"]]
    assert not list(circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}))


def test_heads_are_seen_through_their_interface() -> None:
    outside = [p for name in ("server", "explain") for p in (ROOT / "proxy" / name).glob("*.py")]
    using = {
        path.name
        for path in outside
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "pairs"
    }
    assert using == set()


def test_http_knows_no_configuration() -> None:
    for path in modules("http").values():
        assert not any(name.startswith("proxy.config") for name in needed(path)), path.name
