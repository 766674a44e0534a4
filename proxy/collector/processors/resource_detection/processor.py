"""Processor `resource_detection`: tells where telemetry came from, where the sender did not.

What is detected belongs to this process's machine, container and pod: right for applications
beside it. Found once, when it starts; resources are then changed as bytes, as by `resource`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from proxy.collector.context import Context
from proxy.collector.editing.splice import decode
from proxy.collector.editing.values import assign, find
from proxy.collector.processors.resource.processor import ResourceEditor
from proxy.collector.processors.resource_detection.settings import Settings
from proxy.collector.resource import Reader, detect, read_text

# Which of all that can be detected is whose; `system` is the Collector's name for `host`.
_PREFIXES = {
    "host": ("host.", "os."),
    "system": ("host.", "os."),
    "process": ("process.",),
    "container": ("container.",),
    "k8s": ("k8s.",),
}

Found = dict[str, str | int]


class ResourceDetection(ResourceEditor):
    """A Stage that holds nothing; it detects when it starts."""

    def __init__(self, context: Context, find_out: Callable[[], Found], override: bool) -> None:
        super().__init__(self._completed, context)
        self._find_out = find_out
        self._override = override
        self._found: Found = {}

    async def start(self) -> None:
        self._found = self._find_out()

    def _completed(self, before: bytes) -> bytes:
        resource = decode(Resource, before)
        changed = False
        for key, value in self._found.items():
            if self._override or find(resource.attributes, key) is None:
                assign(resource.attributes, key, value)
                changed = True
        return bytes(resource.SerializeToString()) if changed else before


def find_out(settings: Settings, environ: Mapping[str, str], read: Reader = read_text) -> Found:
    """Everything that the detectors know; of two that know a key, the first one's."""
    everything = detect({}, environ, read)
    found: Found = {}
    for detector in settings.detectors:
        known = (
            from_environment(environ)
            if detector == "env"
            else {k: v for k, v in everything.items() if k.startswith(_PREFIXES[detector])}
        )
        found = {**known, **found}
    wanted = settings.attributes
    return {k: v for k, v in found.items() if not wanted or k in wanted}


def from_environment(environ: Mapping[str, str]) -> Found:
    """OTEL_RESOURCE_ATTRIBUTES; all of it is dropped if any of it does not read (the
    specification, resource/sdk.md)."""
    found: Found = {}
    for part in environ.get("OTEL_RESOURCE_ATTRIBUTES", "").split(","):
        key, equals, value = part.strip().partition("=")
        if not part.strip():
            continue
        if not equals or not key.strip():
            return {}
        found[key.strip()] = unquote(value.strip())
    return found


def make(settings: Settings, context: Context) -> ResourceDetection:
    return ResourceDetection(
        context, lambda: find_out(settings, os.environ), override=settings.override
    )
