"""What is wrong with a file, as JSON: `spangate check --json` and `spangate explain --json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from proxy.errors import Problem
from proxy.terminal.screen import document


def checked(problems: Iterable[Problem], sizes: Mapping[str, int], *, ok: bool) -> None:
    """Write {ok, problems, counts}: `sizes` are numbers of what the file has, none if unread."""
    told = [_problem(problem) for problem in problems]
    errors = sum(each["severity"] == "error" for each in told)
    counts = {**sizes, "errors": errors, "warnings": len(told) - errors}
    document({"ok": ok, "problems": told, "counts": counts})


def explained(taken: bool, lines: Iterable[str], problems: Iterable[Problem] = ()) -> None:
    """Write {taken, lines, problems}: `taken` as the exit code says it."""
    told = [_problem(problem) for problem in problems]
    document({"taken": taken, "lines": list(lines), "problems": told})


def _problem(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line or None,
        "key": problem.key,
        "message": problem.message,
        "remedy": problem.remedy,
        "severity": "warning" if problem.warning else "error",
    }
