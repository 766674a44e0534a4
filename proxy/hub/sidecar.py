"""`spangate sidecar`: from a file's path, or from none, to a running hub, and to an exit code.

With `--redirect` the rules are there for as long as a sidecar is, those that follow it by upgrades
included. They are made when it has all its listeners: who cannot have them must not touch what may
be another sidecar's rules. They are made and removed by the command for that (`spangate redirect`),
which knows who is left alone; whoever kills the last one hard removes them with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Iterable
from dataclasses import replace

from proxy.config.load import load
from proxy.config.mesh_service import APP, NOWHERE, REDIRECT, SERVICE, lacks_mesh
from proxy.config.model import Config
from proxy.config.syntax import parse_address
from proxy.errors import ConfigError, Problem
from proxy.hub.main import run as run_hub

USUAL = "nft"  # what `--redirect` means where the file does not say
NO_RULES = (
    "eBPF has no rules for --redirect to make: leave it out, and start the application by"
    " spangate mesh run -- COMMAND"
)
# What a key of the file may have been said by, besides the file.
_OPTIONS = {"mesh.app": "--app", "mesh.name": "--name"}
_VARIABLES = {"mesh.app": APP, "mesh.name": SERVICE}
_REMEDIES = {"mesh.app": "a port, or an address of this machine: 8000, 127.0.0.1:8000"}
_USAGE = "Usage: spangate sidecar [OPTIONS] [FILE]\n"
COMMAND = (sys.executable, "-m", "proxy", "redirect")


def run(file: str, redirect: bool = False, options: Collection[str] = ()) -> int:
    """Run the sidecar until a signal ends it; `file` "" = there is none. `options` are those that
    were given: what is wrong by them is wrong usage."""
    path = file or NOWHERE
    if path == "-":
        return _misused("FILE cannot come from stdin: it is read again, for rules and by reloads")
    if redirect:
        os.environ.setdefault(REDIRECT, USUAL)  # where a reload, and the command, find it
    try:
        mesh = load(path, os.environ).config.mesh
    except ConfigError as error:
        if not lacks_mesh(error):
            return _wrong(error.problems, options)
        mesh = None
    if mesh is None:
        return _misused(f"{file} has no [mesh]: write spangate run {file}, or add the table")
    if redirect and mesh.redirect == "ebpf":
        return _misused(NO_RULES)
    return run_hub(path, None, beside=Rules(path) if redirect else None)


def _wrong(problems: Iterable[Problem], options: Collection[str]) -> int:
    """Say what cannot be used, each under the name by which it was said."""
    code = 1
    for problem in problems:
        variable = _VARIABLES.get(problem.key, "")
        if _OPTIONS.get(problem.key) in options:
            remedy = _REMEDIES.get(problem.key)
            tail = f" ({remedy})" if remedy else ""
            option = _OPTIONS[problem.key]
            code = _misused(f"Invalid value for '{option}': {problem.message}{tail}")
        elif os.environ.get(variable, "").strip():
            _refuse(replace(problem, key=variable, line=0, file="environment"))
        else:
            _refuse(problem)
    return code


class Rules:
    """Those of one file. `redirect` without one would look for routes.toml, where the sidecar does
    not: it gets the same name."""

    def __init__(self, path: str) -> None:
        self._path = path

    def begin(self) -> bool:
        """Make them; the command says why they cannot be made."""
        return not self._call("install")

    def end(self) -> None:
        """Remove them."""
        self._call("remove")

    def lost(self, config: Config) -> None:
        """Remove them unless they lead to somebody: to one that has followed the killed one, which
        has the same listeners."""
        from proxy.mesh.addresses import listens

        if config.mesh is None or not listens(parse_address(config.mesh.outbound)[1]):
            self.end()

    def _call(self, word: str) -> int:
        command = [*COMMAND, word, self._path]
        # A session of its own: what a terminal's Ctrl-C ends is this one, which removes them then.
        return subprocess.run(command, check=False, start_new_session=True).returncode


def _misused(reason: str) -> int:
    """As click says it."""
    sys.stderr.write(f"{_USAGE}Error: {reason}\n")
    return 2


def _refuse(reason: object) -> None:
    sys.stderr.write(f"{reason}\n")
