"""What is written for one signal as groups that can be carried out, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from proxy.collector.expression.parse import Node
from proxy.collector.expression.tokens import ExpressionError
from proxy.collector.ottl.compile import Change, Condition, compile_condition, compile_statement
from proxy.collector.ottl.infer import context_of
from proxy.collector.ottl.parse import Edit, parse_condition, parse_statement
from proxy.collector.ottl.settings import Conditions, Statements
from proxy.collector.parts import Problems

Written = Sequence[str | Statements] | Sequence[str | Conditions]
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Statements of one context, or conditions. Each has its place in the file, for messages."""

    context: str
    mode: str
    changes: tuple[tuple[str, Change], ...] = ()
    conditions: tuple[tuple[str, Condition], ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    path: Path
    tree: Edit | Node


def statements(
    key: str, signal: str, written: Sequence[str | Statements], mode: str
) -> list[Group]:
    """Raises ExpressionError. Neighbours of one context without conditions are one group."""
    groups = [_group(key, index, signal, one, mode) for index, one in enumerate(written)]
    joined: list[Group] = []
    for flat, some in groupby(groups, lambda g: (g.context, g.mode, g.conditions)):
        members = list(some)
        if flat[2]:
            joined += members
        else:
            changes = tuple(change for group in members for change in group.changes)
            joined.append(Group(flat[0], flat[1], changes))
    return joined


def conditions(
    key: str, signal: str, written: Sequence[str | Conditions], mode: str
) -> list[Group]:
    """Raises ExpressionError."""
    return [_group(key, index, signal, one, mode) for index, one in enumerate(written)]


def of_context(key: str, context: str, texts: Sequence[str], mode: str) -> Group:
    """Conditions whose context is given by their place. Raises ExpressionError."""
    compiled = [(f"{key}[{i}]", compile_condition(text, context)) for i, text in enumerate(texts)]
    return Group(context, mode, (), tuple(compiled))


def _group(
    key: str, index: int, signal: str, one: str | Statements | Conditions, mode: str
) -> Group:
    parts = [_Part(path, _parsed(key, path, text)) for path, text in _texts(key, one)]
    context = _context(signal, one, parts)
    changes, conditions = [], []
    for part in parts:
        inner = "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in part.path)
        place = f"{key}[{index}]{inner}"
        if isinstance(part.tree, Edit):
            changes.append((place, compile_statement(part.tree, context)))
        else:
            conditions.append((place, compile_condition(part.tree, context)))
    own = None if isinstance(one, str) else one.error_mode
    return Group(context, own or mode, tuple(changes), tuple(conditions))


def _texts(key: str, one: str | Statements | Conditions) -> list[tuple[Path, str]]:
    if isinstance(one, str):
        return [((), one)]
    lists = ("statements", "conditions") if isinstance(one, Statements) else ("conditions",)
    return [((name, i), text) for name in lists for i, text in enumerate(getattr(one, name))]


def _parsed(key: str, path: Path, text: str) -> Edit | Node:
    """A list of conditions has conditions alone; a group's are told by their key."""
    is_condition = key.endswith("_conditions") or path[:1] == ("conditions",)
    return parse_condition(text) if is_condition else parse_statement(text)


def _context(signal: str, one: str | Statements | Conditions, parts: Sequence[_Part]) -> str:
    if not isinstance(one, str) and one.context:
        return one.context
    trees: list[Node] = []
    for part in parts:
        if isinstance(part.tree, Edit):
            trees += [part.tree.call, *([part.tree.where] if part.tree.where else [])]
        else:
            trees.append(part.tree)
    return context_of(signal, trees)


def problems(key: str, signal: str, written: Written) -> Problems:
    """Everything that is wrong, each with its path below the component's table."""
    for index, one in enumerate(written):
        parts = []
        for path, text in _texts(key, one):
            try:
                parts.append(_Part(path, _parsed(key, path, text)))
            except ExpressionError as error:
                yield (key, index, *path), str(error), error.remedy
        context = _context(signal, one, parts)
        for part in parts:
            try:
                _compiled(part.tree, context)
            except ExpressionError as error:
                yield (key, index, *part.path), str(error), error.remedy
        if not isinstance(one, str) and not _texts(key, one):
            yield (key, index), "there is nothing in it", 'write statements = ["…"]'


def context_problems(path: tuple[str, ...], context: str, texts: Sequence[str]) -> Problems:
    """The same of conditions whose context is given by their place."""
    for index, text in enumerate(texts):
        try:
            compile_condition(text, context)
        except ExpressionError as error:
            yield (*path, index), str(error), error.remedy


def _compiled(tree: Edit | Node, context: str) -> object:
    if isinstance(tree, Edit):
        return compile_statement(tree, context)
    return compile_condition(tree, context)
