"""The shape of the code: who may import whom, what is pure, what a worker loads.

Read from the source by `ast`, so that an import inside a function counts as one too.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROXY = ROOT / "proxy"

# Packages and top-level modules; each may import what stands to the left of a "<" before it.
ORDER = (
    "plain < kernel problem bpf < errors frames log pauses rest ring runner tasks < lag web"
    " < config < http < access routing tracing upstream < telemetry < server otlp < formats"
    " < recent < collector explain < admin < sources mesh messaging < hub dashboards"
    " < credentials demo start terminal < cli < __main__"
)
RANKS = {name: rank for rank, group in enumerate(ORDER.split(" < ")) for name in group.split()}

# The data plane is started by the hub and known to nobody else, but for the process of queues,
# which records as a worker does and meets workers by HTTP: what a worker does not load
# cannot slow it down, and what is not in the hub's frames cannot be asked of a worker.
SERVER_IS_KNOWN_TO = {"server", "hub", "messaging"}

# `spangate check` judges paths and rewrites by routing's own grammar, whose second copy in the
# configuration would come to disagree. Inside functions only, so that there is no cycle at import.
BACKWARD = {
    ("config/check_routes.py", "routing"),
    ("config/check_messaging.py", "routing"),
    ("config/collector.py", "collector"),
}

PURE = ("http", "routing", "tracing", "upstream", "telemetry")
# No sockets, no clock, no randomness, no environment, no log.
HARMLESS = """
    __future__ abc binascii bisect collections contextlib dataclasses datetime enum functools
    hashlib heapq httptools ipaddress itertools json math msgspec ngh2 operator re string struct
    types typing urllib.parse
"""

HEAVY = (
    "grpc",
    "google.protobuf",
    "opentelemetry",
    "aiohttp",
    "click",
    "prometheus_client",
    "cryptography",
    "argon2",
    "bcrypt",
)
# Of the standard library and what else others would bring along: 0.1 to 0.5 MB each, in every
# process that rests (benchmarks.idle_sidecar).
SPARED = ("typing_extensions", "difflib", "email.utils", "encodings.idna")

NOT_IN_WORKERS = (
    *HEAVY,
    *SPARED,
    "tomllib",
    *(f"proxy.{package}" for package in ["otlp", "formats", "collector", "admin", "hub", "cli"]),
)

# Nothing in the hub reads what strangers send, so it needs neither the code nor the memory.
NOT_IN_THE_HUB = (
    "grpc",
    "google.protobuf",
    "opentelemetry",
    "proxy.collector.pipeline",
    "aiohttp",  # until somebody asks for more than probes do
    "click",
    "tempfile",
    "proxy.hub.jwks",  # until a configuration has keys to fetch
    "proxy.hub.oidc",  # until somebody logs in
    "proxy.recent.search",  # until somebody asks for traces
    *SPARED,
)

MOST_LINES = 350
# Longer than that for now; they may shrink, and leave this table, but not grow.
TOO_LONG: dict[str, int] = {}

SOURCES = sorted(PROXY.rglob("*.py"))
PACKAGES = sorted({path.relative_to(PROXY).parts[0].removesuffix(".py") for path in SOURCES})


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def short(path: Path) -> str:
    return path.relative_to(PROXY).as_posix()


def package(path: Path) -> str:
    """The package below proxy/ that a file is in, or its own name at the top."""
    return path.relative_to(PROXY).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of imported modules; `from proxy import x` counts as proxy.x."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            if module in ("proxy", "google", "urllib"):
                yield from (f"{module}.{alias.name}" for alias in node.names)
            else:
                yield module
        elif isinstance(node, ast.Call):
            yield from imported_by_name(node)


def imported_by_name(call: ast.Call) -> Iterator[str]:
    """`importlib.import_module("proxy.x")`, of an f-string the part that is certain."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if name not in ("import_module", "find_spec") or not call.args:
        return
    argument = call.args[0]
    if isinstance(argument, ast.JoinedStr):
        argument = argument.values[0]
    if isinstance(argument, ast.Constant) and str(argument.value).startswith("proxy."):
        yield str(argument.value).rstrip(".")


def neighbours(tree: ast.AST) -> set[str]:
    """The packages of ours that are imported."""
    names = {name.split(".")[1] for name in imported(tree) if name.startswith("proxy.")}
    return names - {"__version__"}


def test_every_package_has_a_place_in_the_order() -> None:
    assert set(PACKAGES) - {"__init__"} <= RANKS.keys()


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_imports_go_one_way(path: Path) -> None:
    here = package(path)
    if here == "__init__":
        assert neighbours(parsed(path)) == {"plain"}
        return
    assert not any(name.startswith(".") for name in imported(parsed(path))), "say it in full"
    backward = {
        name
        for name in neighbours(parsed(path)) - {here}
        if RANKS[name] >= RANKS[here] and (short(path), name) not in BACKWARD
    }
    assert not backward, f"{here} must not know {', '.join(backward)}"
    if here not in SERVER_IS_KNOWN_TO:
        assert "server" not in neighbours(parsed(path))


@pytest.mark.parametrize(("file", "name"), sorted(BACKWARD))
def test_a_backward_import_waits_until_it_is_needed(file: str, name: str) -> None:
    tree = parsed(PROXY / file)
    top = ast.Module([n for n in tree.body if not isinstance(n, ast.FunctionDef)], [])
    assert name in neighbours(tree)
    assert name not in neighbours(top)


@pytest.mark.parametrize("path", [p for p in SOURCES if package(p) in PURE], ids=short)
def test_pure_packages_touch_nothing_outside(path: Path) -> None:
    tree = parsed(path)
    outside = {n for n in imported(tree) if not n.startswith("proxy.")}
    roots = {n if n.startswith("urllib") else n.split(".")[0] for n in outside}
    assert not roots - set(HARMLESS.split()), "time, chance and I/O are arguments here"
    clocks = {"now", "today", "utcnow"}
    calls = {n.func.attr for n in ast.walk(tree) if is_method_call(n)}
    assert not calls & clocks


def is_method_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)


def test_a_worker_loads_nothing_heavy() -> None:
    code = "import sys, proxy.server.__main__, proxy.server.mesh_sidecar; print(*sys.modules)"
    loaded = set(python(code).split())
    assert "proxy.server.serve" in loaded
    assert not loaded & set(NOT_IN_WORKERS)


def test_the_hub_loads_nothing_that_strangers_can_make_slow() -> None:
    code = "import sys, proxy.hub.main, proxy.hub.services, proxy.hub.collector_process"
    loaded = set(python(code + "; print(*sys.modules)").split())
    assert {"proxy.hub.supervisor", "proxy.admin.quick"} <= loaded
    assert not loaded & set(NOT_IN_THE_HUB)


@pytest.mark.parametrize("name", [n for n in PACKAGES if n != "__init__"])
def test_each_module_can_be_imported_first(name: str) -> None:
    """No cycle that only another order of imports hides, and no warning."""
    modules = [m for m in map(module_name, SOURCES) if m.split(".")[1:2] == [name]]
    python(IMPORT_EACH, *modules)


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


IMPORT_EACH = """
import importlib, sys
for name in sys.argv[1:]:
    for loaded in [m for m in sys.modules if m.partition(".")[0] == "proxy"]:
        del sys.modules[loaded]
    importlib.import_module(name)
"""


def python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_files_are_short(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    allowed = TOO_LONG.get(short(path), MOST_LINES)
    assert lines <= allowed, "one noun a module: what else is in here?"


@pytest.mark.parametrize("path", [p for p in SOURCES if short(p) != "tasks.py"], ids=short)
def test_only_tasks_starts_tasks(path: Path) -> None:
    names = {n.attr for n in ast.walk(parsed(path)) if isinstance(n, ast.Attribute)}
    assert not names & {"create_task", "ensure_future"}, "use proxy.tasks.spawn"


def test_nothing_is_mocked() -> None:
    files = [
        p for folder in ("proxy", "tests", "benchmarks") for p in (ROOT / folder).rglob("*.py")
    ]
    named = [p for p in files if "unittest" in p.read_text(encoding="utf-8")]  # most need no parser
    using = [p for p in named if any(n.startswith("unittest") for n in imported(parsed(p)))]
    assert not using


def test_one_module_knows_the_library_of_http2() -> None:
    using = {short(path) for path in SOURCES if "ngh2" in set(imported(parsed(path)))}
    assert using == {"http/h2.py"}


def test_errors_become_answers_in_one_place() -> None:
    """Whoever turns an error into a response must write its Proxy-Status (RFC 9209)."""
    writing = {
        short(path)
        for path in SOURCES
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str | bytes)
        and node.value in ("proxy-status", b"proxy-status")
    }
    assert writing == {"server/reply.py"}


def test_the_glossary_is_one_screen_and_its_files_exist() -> None:
    glossary = ast.get_docstring(parsed(PROXY / "__init__.py")) or ""
    assert 10 < len(glossary.splitlines()) <= 40
    places = re.findall(r"[a-z_0-9]+/(?:[a-z_0-9]+\.py)?", glossary)
    assert len(places) >= 10
    assert not [place for place in places if not (PROXY / place).exists()]


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "__main__.py"], ids=short)
def test_every_module_says_what_it_owns(path: Path) -> None:
    assert ast.get_docstring(parsed(path))
