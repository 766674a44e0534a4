"""Whether the compiled modules are used, or the sources that they were made from.

Decided once, when `proxy` is first imported, for all of them together: they read each other's
structs. The sources run if SPANGATE_PURE=1 says so, if nothing was compiled for this interpreter,
if a module is missing or cannot be loaded, or if, in a checkout, a source is newer than what was
made of it. `spangate version` says which, and why.

The compiled modules of one package are together in one shared object, where Python's own finder
does not look for them: `Together` does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourceFileLoader,
    SourcelessFileLoader,
)

PACKAGE = os.path.dirname(__file__)
BESIDE = os.path.join(os.path.dirname(PACKAGE), "")
SUFFIX = EXTENSION_SUFFIXES[0]  # ".cpython-311-x86_64-linux-gnu.so"
# Written by setup.py: "compiled", the names of the modules and the headers in C that they include;
# or why there are none.
STAMP = os.path.join(PACKAGE, "kernel", f"built{SUFFIX.removesuffix('.so')}.txt")


class Together:
    """Finds each compiled module in the shared object of its package (a finder of sys.meta_path).

    `PyInit_head` in proxy/http/compiled.cpython-311-x86_64-linux-gnu.so makes proxy.http.head.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        """Where a module is; None if it is not a compiled one."""
        if name not in self._names:
            return None
        file = shared_object(name)
        spec = ModuleSpec(name, ExtensionFileLoader(name, file), origin=file)
        spec.has_location = True
        return spec


def shared_object(name: str) -> str:
    """The file that has a compiled module, by the module's full name."""
    package = name.rpartition(".")[0]
    return f"{BESIDE}{package.replace('.', os.sep)}{os.sep}compiled{SUFFIX}"


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
    for file in {shared_object(name) for name in names}:
        if not os.path.exists(file):
            return f"the compiled {os.path.relpath(file, BESIDE)} is missing"
    return ""


def _stale(lines: list[str], made: int) -> str:
    """Whether a checkout's source has changed; an installed package's have no reason to."""
    if not os.path.exists(f"{BESIDE}setup.py"):
        return ""
    for line in lines:
        is_header, is_kernel = line.endswith(".h"), line.startswith("proxy.kernel.")
        stem = line.removesuffix(".h") if is_header else line.replace(".", os.sep)
        kinds = ".h" if is_header else ".pxd .py .pyx" if is_kernel else ".pxd .py"
        for kind in kinds.split():
            path = f"{BESIDE}{stem}{kind}"
            try:
                newer = os.stat(path).st_mtime_ns > made
            except OSError:
                newer = kind in (".pxd", ".h")  # the others need not be there
            if newer:
                return f"{os.path.basename(path)} has changed since it was compiled"
    return ""


def _unusable(names: list[str]) -> str:
    """Whether this machine can load what another may have made, told by one that needs no other.

    If so, `Together` finds them from here on.
    """
    together = Together(names)
    sys.meta_path.insert(0, together)
    for name in names:
        if name.startswith("proxy.kernel."):
            try:
                import_module(name)
            except ImportError as error:
                sys.meta_path.remove(together)
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
