"""Settings of the exporter `recent`: none, for all of them keep in the one store of [recent]."""

from __future__ import annotations

from proxy.config.section import Section


class Settings(Section, frozen=True):
    """[collector.exporters.recent]"""
