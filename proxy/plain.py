"""Whether the compiled modules are used, or the sources that they were made from.

Decided once, when `proxy` is first imported, for all of them together: they read each other's
structs. The sources run if SPANGATE_PURE=1 says so, if nothing was compiled, or if, in a checkout,
a source is newer than what was made of it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).parent
STAMP = PACKAGE / "kernel" / "built.txt"  # the names of the modules; written by setup.py


class PlainFinder:
    """Finds the package's modules as sources alone."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith("proxy.") or path is None:
            return None
        for folder in path:
            finder = FileFinder(folder, (SourceFileLoader, SOURCE_SUFFIXES))
            spec = finder.find_spec(name)
            if spec is not None:
                return spec
        return None


def why_plain() -> str:
    """Why the sources run as they are; "" = they do not."""
    if os.environ.get("SPANGATE_PURE") == "1":
        return "SPANGATE_PURE=1"
    try:
        names = STAMP.read_text().split()
    except OSError:
        return "not compiled"
    if (PACKAGE.parent / "setup.py").exists():
        newest = STAMP.stat().st_mtime
        for name in names:
            stem = PACKAGE.parent.joinpath(*name.split("."))
            for kind in (".py", ".pyx", ".pxd"):
                try:
                    if stem.with_suffix(kind).stat().st_mtime > newest:
                        return f"{stem.with_suffix(kind).name} is newer than what was compiled"
                except OSError:
                    continue
    return ""


WHY_PLAIN = why_plain()
if WHY_PLAIN:
    sys.meta_path.insert(0, PlainFinder)
