"""What `spangate run` and `spangate sidecar` do, and how their words are read without click.

A hub stays for as long as the gateway does, and who is started by click keeps it, and what the
other commands have imported for it: 1.8 MB (benchmarks.idle_sidecar). So the words of these two
are read here where they are as they should be. Help, mistakes and all rarer ways to say it are
click's, whose commands in `cli.py` do the same by the same functions.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

DEFAULT_FILE = "routes.toml"
FLAGS = {"--redirect"}  # options without a value


def run(file: str = DEFAULT_FILE, workers: int | str | None = None, keylog: str = "") -> int:
    """The gateway of a file, until a signal ends it; the exit code."""
    from proxy.errors import ConfigError
    from proxy.hub.main import run as run_hub

    try:
        return run_hub(file, int(workers) if workers else None, keylog=keylog)
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"{problem}\n")
        return 1


def sidecar(file: str = "", app: str = "", name: str = "", redirect: bool = False) -> int:
    """The same of the sidecar of an application; options win over the file."""
    from proxy.config import mesh_service
    from proxy.hub.sidecar import run as run_sidecar

    given = {"--app": (mesh_service.APP, app), "--name": (mesh_service.SERVICE, name)}
    for variable, said in given.values():
        if said:
            os.environ[variable] = said  # where a reload finds it again
    return run_sidecar(file, redirect, {option for option, (_, said) in given.items() if said})


# The options that are read here, each with the argument that it is.
COMMANDS: Mapping[str, tuple[Callable[..., int], Mapping[str, str]]] = {
    "run": (run, {"--workers": "workers"}),
    "sidecar": (sidecar, {"--app": "app", "--name": "name", "--redirect": "redirect"}),
}


def read(words: Sequence[str]) -> Callable[[], int] | None:
    """What to call for the words behind `spangate`; None = click is to read them."""
    command, options = COMMANDS.get(words[0], (None, {})) if words else (None, {})
    if command is None:
        return None
    given: dict[str, str | bool] = {}
    rest = iter(words[1:])
    for word in rest:
        if word in FLAGS and word in options:
            given[options[word]] = True
        elif word in options:
            value = next(rest, "")
            if not _is_plain(word, value):
                return None
            given[options[word]] = value
        elif word.startswith("-") or "file" in given:
            return None
        else:
            given["file"] = word
    return partial(command, **given)


def _is_plain(option: str, value: str) -> bool:
    if option == "--workers":
        return value.isascii() and value.isdigit() and len(value) < 7 and int(value) > 0
    return bool(value.strip()) and not value.startswith("-")
