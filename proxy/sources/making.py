"""Which module knows which source. Each is imported when a file first asks for it.

A module has `make(settings, about)`, which gets its table and returns a Source. It must not block.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from proxy.sources.source import About, Source

# by the key in [source]: the module, and what to install where an import fails
MODULES = {
    "xds": ("proxy.sources.xds", "spangate[xds]"),
    "kubernetes": ("proxy.sources.kubernetes", "spangate"),
    "etcd": ("proxy.sources.etcd", "spangate"),
    "consul": ("proxy.sources.consul", "spangate"),
    "file": ("proxy.sources.files", "spangate"),
}


class Missing(Exception):
    """A source that this installation does not have; says what to install."""


def make(name: str, settings: Any, about: About) -> Source:
    """That source; Missing if its module cannot be had."""
    module, package = MODULES[name]
    try:
        made: Source = import_module(module).make(settings, about)
    except ImportError as error:
        raise Missing(f"{error}: pip install '{package}'") from None
    return made
