"""What is to stand in the status of each object that is ours, before it is compared with what
stands there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.sources.kubernetes.backends import Port
from proxy.sources.kubernetes.conditions import Told
from proxy.sources.kubernetes.kinds import Key
from proxy.sources.kubernetes.objects import Reference
from proxy.sources.kubernetes.world import World
from proxy.sources.source import Given


class ListenerTold(NamedTuple):
    name: str
    kinds: Sequence[str]
    attached: int
    told: Sequence[Told]
    is_open: bool


class GatewayTold(NamedTuple):
    told: Sequence[Told]
    listeners: Sequence[ListenerTold]
    is_accepted: bool
    why: str = ""  # not all that was asked for could be programmed


class RouteTold(NamedTuple):
    parents: Sequence[tuple[Reference, Sequence[Told]]]


class PolicyTold(NamedTuple):
    gateways: Sequence[Key]
    told: Sequence[Told]


@dataclass(slots=True)
class Outcome:
    """Of one translation."""

    given: Given
    ports: dict[str, Port] = field(default_factory=dict)  # by upstream: whose servers are its
    secrets: set[Key] = field(default_factory=set)  # that are referred to
    config_maps: set[Key] = field(default_factory=set)
    classes: dict[Key, Sequence[Told]] = field(default_factory=dict)
    gateways: dict[Key, GatewayTold] = field(default_factory=dict)
    routes: dict[tuple[str, Key], RouteTold] = field(default_factory=dict)  # by kind and key
    policies: dict[Key, PolicyTold] = field(default_factory=dict)
    ingresses: list[Key] = field(default_factory=list)
    world: World = field(default_factory=lambda: World({}, {}, 0.0))  # that it was made of
    count: int = 0  # of the changes that it knows of, see Store
