"""The sources beside what was compiled of them, in one process, to compare the two.

`plain("proxy.http.receive")` is the module as it runs where nothing is compiled, with all of the
package that it imports; its classes are others than those of `import proxy.http.receive`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import ModuleType

from proxy.plain import PACKAGE, Together, sources_alone

_PLAIN: dict[str, ModuleType] = {}


def plain(name: str) -> ModuleType:
    """The module `name`, run from its source."""
    with _without_compiled():
        return importlib.import_module(name)


def twin(name: str) -> ModuleType:
    """The twin in Python of a module of the kernel, alone: what it imports is the usual."""
    loader = SourceFileLoader(f"twin_{name}", os.path.join(PACKAGE, "kernel", f"{name}.py"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@contextmanager
def _without_compiled() -> Iterator[None]:
    """The package is imported anew, and told to run as it is (`proxy/plain.py`)."""
    usual, hooks, finders = _ours(), list(sys.path_hooks), list(sys.meta_path)
    asked = os.environ.get("SPANGATE_PURE")
    _swap(usual, _PLAIN)
    os.environ["SPANGATE_PURE"] = "1"
    sys.meta_path[:] = [finder for finder in finders if not isinstance(finder, Together)]
    sys.path_hooks.insert(0, sources_alone)
    _forget_folders()
    try:
        yield
    finally:
        sys.path_hooks[:], sys.meta_path[:] = hooks, finders
        del os.environ["SPANGATE_PURE"]
        if asked is not None:
            os.environ["SPANGATE_PURE"] = asked
        _forget_folders()
        _PLAIN.update(_ours())
        _swap(_PLAIN, usual)


def _ours() -> dict[str, ModuleType]:
    return {n: m for n, m in sys.modules.items() if n == "proxy" or n.startswith("proxy.")}


def _forget_folders() -> None:
    for folder in [name for name in sys.path_importer_cache if name.startswith(PACKAGE)]:
        del sys.path_importer_cache[folder]


def _swap(out: dict[str, ModuleType], into: dict[str, ModuleType]) -> None:
    for name in out:
        sys.modules.pop(name, None)
    sys.modules.update(into)
