"""Processor `resource`: changes the attributes of the resource that telemetry comes from.

Only the few bytes of each resource are decoded, and each resource once: applications send the
same one with every request.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from proxy.collector.batch import Batch, Signal
from proxy.collector.context import Context
from proxy.collector.editing.actions import compile_rules
from proxy.collector.editing.splice import decode, edit_resources
from proxy.collector.processors.resource.settings import Settings

CACHE = 512  # resources remembered
_LONGEST = 8192  # bytes of a resource that is worth remembering


class ResourceEditor:
    """A Stage that holds nothing; also of `resource_detection`.

    `change` makes new bytes of those of a Resource; the same bytes always become the same.
    """

    def __init__(self, change: Callable[[bytes], bytes], context: Context) -> None:
        self._change = change
        self._next = context.next
        self._known: dict[bytes, bytes] = {}

    async def start(self) -> None:
        return None

    async def stop(self, deadline: float) -> None:
        return None

    def held(self, signal: Signal) -> int:
        return 0

    def consume(self, batch: Batch) -> bool:
        before = batch.payload
        after = edit_resources(before, self._remembered)
        if after is before:
            return self._next.consume(batch)
        return self._next.consume(Batch(batch.signal, after, batch.items))

    def _remembered(self, before: bytes) -> bytes:
        after = self._known.get(before)
        if after is None:
            after = self._change(before)
            if len(self._known) >= CACHE:
                self._known.clear()
            if len(before) <= _LONGEST:
                self._known[before] = after
        return after


def make(settings: Settings, context: Context) -> ResourceEditor:
    rules = compile_rules(settings.attributes, context.resource, os.environ)

    def change(before: bytes) -> bytes:
        resource = decode(Resource, before)
        for rule in rules:
            rule(resource.attributes, resource)
        return bytes(resource.SerializeToString())

    return ResourceEditor(change, context)
