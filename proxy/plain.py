"""Whether the compiled modules are used, or the sources that they were made from.

Decided once, when `proxy` is first imported, for all of them together: they read each other's
structs. The sources run if SPANGATE_PURE=1 says so, if nothing was compiled for this interpreter,
if a module is missing or cannot be loaded, or if, in a checkout, a source is newer than what was
made of it. `spangate version` says which, and why.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    FileFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)

PACKAGE = os.path.dirname(__file__)
BESIDE = os.path.join(os.path.dirname(PACKAGE), "")
SUFFIX = EXTENSION_SUFFIXES[0]  # ".cpython-311-x86_64-linux-gnu.so"
# Written by setup.py: "compiled", the names of the modules and the headers in C that they include;
# or why there are none.
STAMP = os.path.join(PACKAGE, "kernel", f"built{SUFFIX.removesuffix('.so')}.txt")


def why_plain() -> str:
    """Why the sources run as they are; "" = they do not."""
    if os.environ.get("SPANGATE_PURE") == "1":
        return "SPANGATE_PURE=1"
    try:
        with open(STAMP, encoding="utf-8") as file:
            first, *lines = file.read().splitlines()
            made = os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return "not compiled"
    if not first.startswith("compiled"):
        return first
    names = [line for line in lines if not line.endswith(".h")]
    return _missing(names) or _stale(lines, made) or _unusable(names)


def told() -> str:
    """What runs here, for people: "compiled", or "plain Python: " and why."""
    return f"plain Python: {WHY_PLAIN}" if WHY_PLAIN else "compiled"


def _missing(names: list[str]) -> str:
    for name in names:
        if not os.path.exists(f"{BESIDE}{name.replace('.', os.sep)}{SUFFIX}"):
            return f"the compiled {name} is missing"
    return ""


def _stale(lines: list[str], made: int) -> str:
    """Whether a checkout's source has changed; an installed package's have no reason to."""
    if not os.path.exists(f"{BESIDE}setup.py"):
        return ""
    for line in lines:
        is_header = line.endswith(".h")
        stem = line.removesuffix(".h") if is_header else line.replace(".", os.sep)
        for kind in (".h",) if is_header else (".pxd", ".py", ".pyx"):
            path = f"{BESIDE}{stem}{kind}"
            try:
                newer = os.stat(path).st_mtime_ns > made
            except OSError:
                newer = kind in (".pxd", ".h")  # the others need not be there
            if newer:
                return f"{os.path.basename(path)} has changed since it was compiled"
    return ""


def _unusable(names: list[str]) -> str:
    """Whether this machine can load what another may have made, told by one that needs no other."""
    for name in names:
        if name.startswith("proxy.kernel."):
            try:
                import_module(name)
            except ImportError as error:
                return f"the compiled modules cannot be loaded: {error}"
            break
    return ""


def sources_alone(folder: str) -> FileFinder:
    """A hook of sys.path_hooks: finds sources below our package and leaves the rest to others."""
    if folder != PACKAGE and not folder.startswith(PACKAGE + os.sep):
        raise ImportError
    return FileFinder(
        folder,
        (SourceFileLoader, SOURCE_SUFFIXES),
        (SourcelessFileLoader, BYTECODE_SUFFIXES),
    )


WHY_PLAIN = why_plain()
if WHY_PLAIN:
    sys.path_hooks.insert(0, sources_alone)
    for folder in [name for name in sys.path_importer_cache if name.startswith(PACKAGE)]:
        del sys.path_importer_cache[folder]
