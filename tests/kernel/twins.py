"""A kernel module's twin in Python, whatever is compiled."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

KERNEL = Path(__file__).parents[2] / "proxy" / "kernel"


def twin(name: str) -> ModuleType:
    loader = SourceFileLoader(f"twin_{name}", str(KERNEL / f"{name}.py"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module
