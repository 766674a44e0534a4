"""The sources beside what was compiled of them, in one process, to compare the two.

`plain("proxy.http.receive")` is the module as it runs where nothing is compiled, with all of the
package that it imports; its classes are others than those of `import proxy.http.receive`.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from proxy.plain import PlainFinder

_PLAIN: dict[str, ModuleType] = {}


def plain(name: str) -> ModuleType:
    """The module `name`, run from its source."""
    usual = {n: m for n, m in sys.modules.items() if n == "proxy" or n.startswith("proxy.")}
    _swap(usual, _PLAIN)
    sys.meta_path.insert(0, PlainFinder)
    try:
        return importlib.import_module(name)
    finally:
        sys.meta_path.remove(PlainFinder)
        _PLAIN.update(
            (n, m) for n, m in sys.modules.items() if n == "proxy" or n.startswith("proxy.")
        )
        _swap(_PLAIN, usual)


def _swap(out: dict[str, ModuleType], into: dict[str, ModuleType]) -> None:
    for name in out:
        sys.modules.pop(name, None)
    sys.modules.update(into)
