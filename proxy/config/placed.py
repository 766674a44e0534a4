"""Placed: problems that are found when a configuration is brought into force, with file and line.

Components know their settings, and not where those were written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from proxy.config.loaded import Loaded
from proxy.config.locate import Path
from proxy.config.report import spot
from proxy.errors import ConfigError, Problem

_STEP = re.compile(r'\[(\d+)\]|"([^"]*)"|([^.\[\]"]+)')


def placed(problems: Iterable[Problem], loaded: Loaded) -> list[Problem]:
    """As they are, but for those that name no file yet."""
    return [p if p.file else _placed(p, loaded) for p in problems]


def _placed(problem: Problem, loaded: Loaded) -> Problem:
    where = loaded.lines.written(path(problem.key))
    key, line, file = spot(where, loaded.file, loaded.lines, loaded.places)
    return replace(problem, key=key if line == 0 and where else problem.key, file=file, line=line)


@contextmanager
def placing(loaded: Loaded) -> Iterator[None]:
    """Problems that are raised within are placed."""
    try:
        yield
    except ConfigError as error:
        error.problems = placed(error.problems, loaded)
        raise


def path(key: str) -> Path:
    """The way back from locate.dotted."""
    return tuple(
        int(number) if number else quoted or bare for number, quoted, bare in _STEP.findall(key)
    )
