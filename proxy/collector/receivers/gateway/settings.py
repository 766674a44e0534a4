"""Settings of the gateway receiver: there are none, the workers are simply there."""

from __future__ import annotations

from proxy.config.section import Section


class Settings(Section, frozen=True):
    """[collector.receivers.gateway]; needs not be written."""
