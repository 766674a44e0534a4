"""Prometheus' own linter has nothing to say about any metric of ours."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
import subprocess
from collections.abc import Iterator

import pytest

import proxy
from proxy.admin.exposition import expose
from proxy.telemetry.instruments import Instrument, Kind
from proxy.telemetry.metrics import Point, Series

MODULES = ("proxy.telemetry.instruments", "proxy.hub.gauges", "proxy.collector.")
PROMTOOL = shutil.which("promtool")


def instruments() -> dict[str, Instrument]:
    """Every one that some module has."""
    found = {}
    for module in pkgutil.walk_packages(proxy.__path__, "proxy."):
        if module.name.startswith(MODULES):
            for value in vars(importlib.import_module(module.name)).values():
                rows = value.values() if isinstance(value, dict) else [value]
                found.update({r.name: r for r in rows if isinstance(r, Instrument)})
    return found


def page() -> Iterator[Series]:
    for instrument in instruments().values():
        counts = [1] * (len(instrument.boundaries) + 1)
        point = Point(counts, 10, [None] * len(counts))
        yield Series(instrument, (("a", "b"),), point if instrument.kind is Kind.HISTOGRAM else 1)


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_finds_nothing_on_the_page() -> None:
    text, _ = expose(page(), "text/plain")
    assert len(instruments()) > 30 and b"process_open_fds" in text

    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)

    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
