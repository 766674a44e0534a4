"""Settings of resource detection; names of the OpenTelemetry Collector's."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from proxy.collector.parts import Problems
from proxy.config.section import Section

Detector = Literal["env", "host", "system", "process", "container", "k8s"]


class Settings(Section, frozen=True):
    """[collector.processors.resource_detection]: of the machine that the gateway runs on."""

    detectors: list[Detector] = field(default_factory=lambda: ["env"])  # the first one wins
    override: bool = True  # what is detected wins over what the application said
    attributes: list[str] = field(default_factory=list)  # only these keys; [] = all

    def problems(self) -> Problems:
        if not self.detectors:
            yield ("detectors",), "nothing is detected", 'write detectors = ["env", "host"]'
