"""The twins: the Python sources of proxy/kernel/, loaded beside what was compiled of them."""

from __future__ import annotations

import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[2] / "proxy" / "kernel"


def plain(*names: str) -> list[ModuleType]:
    """The sources of these modules of the kernel, of which a later one sees those before it."""
    compiled = {f"proxy.kernel.{name}": sys.modules.get(f"proxy.kernel.{name}") for name in names}
    made = []
    try:
        for name, full in zip(names, compiled, strict=True):
            loader = SourceFileLoader(full, str(FOLDER / f"{name}.py"))
            spec = spec_from_loader(full, loader)
            assert spec is not None
            module = sys.modules[full] = module_from_spec(spec)
            loader.exec_module(module)
            made.append(module)
    finally:
        for full, module in compiled.items():
            if module is None:
                sys.modules.pop(full, None)
            else:
                sys.modules[full] = module
    return made
