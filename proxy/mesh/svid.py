"""Svid: who this sidecar is and whom it believes, as its source has it.

It has passed `judged.py`, and travels between processes: a hub has no parser of certificates.
"""

from __future__ import annotations

from msgspec import Struct, field
from msgspec.structs import replace

from proxy.config.material import MESH, Certified, Material, pair
from proxy.config.spiffe import SpiffeId

HALF, JITTER = 0.45, 0.1  # renewed at 45 to 55 % of a life, so that not all do so at once
NEVER = float("inf")
PART = 8  # of what is left may pass between two tries, so that several fit in
LEAST = 0.5  # seconds between two, as each is a process that takes a quarter of a second of CPU


class Root(Struct, frozen=True):
    """What is told of an authority."""

    subject: str
    sha256: str
    until: float  # Unix time


class Svid(Struct, frozen=True):
    """One state of an identity; times are Unix time."""

    id: SpiffeId
    certified: Certified
    trust: dict[str, bytes]  # PEM of authorities, by trust domain
    since: float
    until: float
    roots: dict[str, list[Root]] = field(default_factory=dict)  # of the same trust domains
    changes: float = NEVER  # when its source will have another one by itself

    def __repr__(self) -> str:  # without its key
        return f"<Svid {self.id} until {self.until:.0f}>"

    def due(self, now: float, random: float) -> float:
        """When one that came now should be followed by another; `random` in [0, 1)."""
        return now + (self.until - now) * (HALF + JITTER * random)

    def pause(self, now: float, most: float) -> float:
        """Seconds until a renewal that has failed is tried again, at most `most`: a part of what
        is left of this one, and once it has expired of the time since."""
        return min(most, max(LEAST, abs(self.until - now) / PART))

    def into(self, material: Material) -> Material:
        """The same with this as what "mesh:" stands for."""
        shown = {**material.certificates, pair(MESH, MESH): self.certified}
        return replace(material, certificates=shown, trust=dict(self.trust))
