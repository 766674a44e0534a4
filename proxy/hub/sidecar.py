"""`spangate sidecar`: from a file's path, or from none, to a running hub, and to an exit code.

With `--redirect` the rules are there for as long as a sidecar is, those that follow it by upgrades
included. They are made when it has all its listeners: who cannot have them must not touch what may
be another sidecar's rules. They are made and removed by the command for that (`spangate redirect`),
which knows who is left alone; whoever kills this one hard removes them with it.
"""

from __future__ import annotations

import os
import subprocess
import sys

from proxy.config.load import load
from proxy.config.mesh_service import NOWHERE, REDIRECT
from proxy.errors import ConfigError
from proxy.hub.main import run as run_hub

USUAL = "nft"  # what `--redirect` means where the file does not say
NO_RULES = (
    "Usage: spangate sidecar [OPTIONS] [FILE]\n",
    "Error: eBPF has no rules for --redirect to make: leave it out, and start the application by"
    " spangate mesh run -- COMMAND",
)
COMMAND = (sys.executable, "-m", "proxy", "redirect")


def run(file: str, redirect: bool = False) -> int:
    """Run the sidecar until a signal ends it; `file` "" = there is none."""
    path = file or NOWHERE
    if redirect:
        os.environ.setdefault(REDIRECT, USUAL)  # where a reload, and the command, find it
    try:
        config = load(path, os.environ).config
    except ConfigError as error:
        return _refuse(*error.problems)
    if config.mesh is None:
        return _refuse(f"{file}: it has no [mesh] (write spangate run {file}, or add the table)")
    if redirect and config.mesh.redirect == "ebpf":
        _refuse(*NO_RULES)
        return 2  # wrong usage, as click says it
    return run_hub(path, None, beside=Rules(path) if redirect else None)


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

    def _call(self, word: str) -> int:
        command = [*COMMAND, word, self._path]
        # A session of its own: what a terminal's Ctrl-C ends is this one, which removes them then.
        return subprocess.run(command, check=False, start_new_session=True).returncode


def _refuse(*reasons: object) -> int:
    for reason in reasons:
        sys.stderr.write(f"{reason}\n")
    return 1
