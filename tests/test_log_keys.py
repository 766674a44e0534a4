"""Every message of ours has a key of its own, and docs/logs.md has them all."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "proxy").rglob("*.py"))
LEVELS = {"debug", "info", "warning", "warn", "error", "exception", "critical", "fatal", "log"}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def loggers(tree: ast.Module) -> set[str]:
    """The names that `logging.getLogger("spangate…")` is given to."""
    return {
        target.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and "getLogger('spangate" in ast.unparse(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    named = loggers(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            made_by = node.func.value
            direct = "getLogger(" in ast.unparse(made_by)
            if node.func.attr in LEVELS and (
                direct or (isinstance(made_by, ast.Name) and made_by.id in named)
            ):
                yield node


def keys(call: ast.Call) -> list[str]:
    """The constants that `extra={"key": …}` may be; [] for anything else."""
    for keyword in call.keywords:
        if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
            (name,), (value,) = keyword.value.keys, keyword.value.values
            parts = [value.body, value.orelse] if isinstance(value, ast.IfExp) else [value]
            if isinstance(name, ast.Constant) and name.value == "key":
                return [str(p.value) for p in parts if isinstance(p, ast.Constant)]
    return []


def message(call: ast.Call) -> str:
    """What tells one message from another: its words before anything is put in."""
    assert isinstance(call.func, ast.Attribute)
    return ast.unparse(call.args[1 if call.func.attr == "log" else 0])


def found() -> dict[str, set[str]]:
    """Key -> the messages that have it."""
    messages: dict[str, set[str]] = defaultdict(set)
    for path in SOURCES:
        for call in calls(parsed(path)):
            for key in keys(call):
                messages[key].add(message(call))
    return messages


LOGGING = [path for path in SOURCES if any(True for _ in calls(parsed(path)))]


def test_the_search_finds_calls_that_are_there() -> None:
    assert len(LOGGING) > 30 and len(found()) > 60


@pytest.mark.parametrize("path", LOGGING, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_call_has_a_key(path: Path) -> None:
    without = [f"{path.name}:{call.lineno}" for call in calls(parsed(path)) if not keys(call)]
    assert not without, 'give it extra={"key": "what.happened"}'


def test_keys_are_words_and_each_belongs_to_one_message() -> None:
    for key, messages in found().items():
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", key)
        assert len(messages) == 1, f"{key} stands for {messages}"


def test_all_keys_are_documented_and_no_others() -> None:
    text = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", text, re.MULTILINE)
    assert sorted(documented) == sorted(found())
