"""What is installed along with the package is what its code imports, no more and no less."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NAME = re.compile(r"[\w.-]+")
REQUIRED = [found[0] for line in PROJECT["dependencies"] if (found := NAME.match(line))]
EXTRA = ("aiokafka", "cramjam", "grpcio")


@cache
def imported() -> frozenset[str]:
    """Full names of what the package imports; `from a import b` counts as a and a.b."""
    found: set[str] = set()
    for path in (ROOT / "proxy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.Call):
                found.update(by_name(node))
    return frozenset(found)


def by_name(call: ast.Call) -> list[str]:
    """`importlib.import_module("cramjam")`"""
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "import_module":
        return []
    return [str(a.value) for a in call.args if isinstance(a, ast.Constant)]


def modules(distribution: str) -> set[str]:
    """The modules of an installed distribution, "google.rpc.status_pb2" among them."""
    try:
        parts = files(distribution) or []
    except PackageNotFoundError:
        return set()
    return {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__").partition(".cpython")[0]
        for path in parts
        if path.suffix in (".py", ".so")
    }


@pytest.mark.parametrize("distribution", REQUIRED)
def test_whatever_is_required_is_imported(distribution: str) -> None:
    if not (offered := modules(distribution)):
        pytest.skip(f"{distribution} is for other interpreters than this one")
    assert offered & imported()


def test_whatever_is_imported_is_required() -> None:
    offered = {m.partition(".")[0] for name in (*REQUIRED, *EXTRA) for m in modules(name)}
    used = {module.partition(".")[0] for module in imported()}
    newer = {"backports", "compression"}  # one or the other, by the interpreter
    assert not used - offered - newer - {"proxy"} - sys.stdlib_module_names
