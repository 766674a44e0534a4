"""Settings of the forward connector: there are none."""

from __future__ import annotations

from proxy.config.section import Section


class Settings(Section, frozen=True):
    """[collector.connectors.forward]"""
