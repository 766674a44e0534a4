"""How a list of actions is carried out on serialised items with the least decoding.

A constant that is inserted is some bytes at the end of an item, if its key is not there yet; an
action on a key that is not there does nothing. That a key is not there is told by a search in the
bytes, at once for all items of a request. Only an item in which a key may be is decoded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from proxy.collector.editing.actions import Rule, compile_rules, constant_of
from proxy.collector.editing.patterns import compile_pattern
from proxy.collector.editing.settings import Action
from proxy.collector.editing.splice import Each, decode
from proxy.collector.editing.values import MAX_INT
from proxy.telemetry.protobuf import TEXT_LIMIT, attributes

Gate = Callable[[Any, Any], bool]  # of an item and its attributes: whether it is meant


class Plan:
    """The actions on one kind of item.

    `fields`: its class and the number of its attributes field; None for metrics, whose data
    points are always decoded.
    """

    __slots__ = ("_field", "_item", "_needles", "_rules", "_suffix", "_walks")

    def __init__(
        self,
        actions: list[Action],
        fields: tuple[type[Message], int] | None,
        gateway: Mapping[str, str | int],
        environ: Mapping[str, str],
    ) -> None:
        self._rules: list[Rule] = compile_rules(actions, gateway, environ)
        self._item, self._field = fields or (Message, 0)
        constants = [constant_of(action, gateway, environ) for action in actions]
        self._suffix = b""
        self._walks = fields is None or not _independent(actions)
        needles: set[bytes] = set()
        for action, constant in zip(actions, constants, strict=True):
            inserts = action.action in ("insert", "upsert")
            if action.pattern and action.action != "extract":
                self._walks = True
            elif inserts and (constant is None or _long(constant)):
                default = action.default_value is not None or action.from_context
                self._walks = self._walks or bool(default) or constant is not None
                needles.add((action.from_attribute or action.key).encode())
            elif inserts and constant is not None:
                self._suffix += attributes(self._field, [(action.key, constant)])  # type: ignore[list-item]
                needles.add(action.key.encode())
            else:
                needles.add(action.key.encode())
        self._needles = tuple(needles)

    def each(self, payload: bytes, resource: Any, gate: Gate | None) -> Each | None:
        """For `splice.edit_items`; None if nothing in the request needs a change."""
        if self._walks:
            return self._decoded(resource, gate)
        present = tuple(needle for needle in self._needles if needle in payload)
        suffix = self._suffix
        if not present and not suffix:
            return None
        decoded = self._decoded(resource, gate)
        if gate is not None:
            return decoded
        if not present:
            return lambda item: item + suffix

        def appended(item: bytes) -> bytes | None:
            for needle in present:
                if needle in item:
                    return decoded(item)
            return item + suffix if suffix else item

        return appended

    def _decoded(self, resource: Any, gate: Gate | None) -> Each:
        def each(item: bytes) -> bytes:
            message = decode(self._item, item)
            if gate is not None and not gate(message, message.attributes):
                return item
            for rule in self._rules:
                rule(message.attributes, resource)
            return bytes(message.SerializeToString())

        return each

    def change(self, attributes_: Any, resource: Any) -> None:
        """Carry the actions out on decoded attributes."""
        for rule in self._rules:
            rule(attributes_, resource)


def _independent(actions: list[Action]) -> bool:
    """Whether no action has to do with a key that another one may write."""
    seen: set[str] = set()
    for action in actions:
        keys = {action.key, action.from_attribute} - {""}
        if action.action == "extract":
            keys.update(compile_pattern(action.pattern).groupindex)
        if keys & seen:
            return False
        seen |= keys
    return True


def _long(constant: object) -> bool:
    """The encoder of short attributes would cut it off."""
    if isinstance(constant, int):
        return abs(constant) > MAX_INT
    return isinstance(constant, list | str) and len(str(constant)) * 4 > TEXT_LIMIT
