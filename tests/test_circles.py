"""No circles of imports between the files of a package, those for type checkers included, and
nobody outside `proxy/http` looks below a head's interface."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PROXY = Path(__file__).parents[1] / "proxy"
PACKAGES = ("server", "http")


def imports(package: str) -> dict[str, set[str]]:
    """Module -> the modules of the same package that it imports anywhere in its file."""
    prefix = f"proxy.{package}."
    found: dict[str, set[str]] = {}
    for path in (PROXY / package).glob("*.py"):
        names = found[path.stem] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {a.name.removeprefix(prefix) for a in node.names if prefix in a.name}
            elif isinstance(node, ast.ImportFrom) and node.module == prefix[:-1]:
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(prefix):
                names.add((node.module or "").removeprefix(prefix))
    return found


def circle(graph: dict[str, set[str]]) -> set[str]:
    """The modules that stand on a circle, or only on ways between circles."""
    left = dict(graph)
    while True:
        known = set(left)
        free = {n for n in left if not left[n] & known or not any(n in left[m] for m in left)}
        if not free:
            return known
        left = {n: to for n, to in left.items() if n not in free}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle(package: str) -> None:
    assert circle(imports(package)) == set()


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == {"b", "c"}


def test_heads_are_seen_through_their_interface() -> None:
    outside = [*(PROXY / "server").glob("*.py"), PROXY / "explain.py"]
    using = {
        path.relative_to(PROXY).as_posix()
        for path in outside
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "pairs"
    }
    assert using == set()


def test_http_knows_no_configuration() -> None:
    for path in (PROXY / "http").glob("*.py"):
        assert "proxy.config" not in path.read_text(encoding="utf-8"), path.name
