"""Objects of the Gateway API that say what may be referred to, and how servers are verified; see
`objects.py`."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from proxy.sources.kubernetes.objects import Condition, Meta, Reference


class GrantFrom(Struct, frozen=True):
    group: str = ""
    kind: str = ""
    namespace: str = ""


class GrantTo(Struct, frozen=True):
    group: str = ""
    kind: str = ""
    name: str | None = None


class GrantSpec(Struct, frozen=True, rename={"sources": "from", "targets": "to"}):
    sources: list[GrantFrom] = field(default_factory=list)
    targets: list[GrantTo] = field(default_factory=list)


class ReferenceGrant(Struct, frozen=True):
    metadata: Meta
    spec: GrantSpec = field(default_factory=GrantSpec)


class AltName(Struct, frozen=True, forbid_unknown_fields=True):
    type: str = ""
    hostname: str = ""
    uri: str = ""


class Validation(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    hostname: str = ""
    ca_certificate_refs: list[Reference] = field(default_factory=list)
    well_known_ca_certificates: str = field(default="", name="wellKnownCACertificates")
    subject_alt_names: list[AltName] = field(default_factory=list)


class PolicySpec(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    target_refs: list[Reference] = field(default_factory=list)
    validation: Validation = field(default_factory=Validation)
    options: dict[str, str] = field(default_factory=dict)


class AncestorStatus(Struct, frozen=True, rename="camel"):
    ancestor_ref: dict[str, Any] = field(default_factory=dict)
    controller_name: str = ""
    conditions: list[Condition] = field(default_factory=list)


class PolicyStatus(Struct, frozen=True):
    ancestors: list[AncestorStatus] = field(default_factory=list)


class BackendTlsPolicy(Struct, frozen=True):
    metadata: Meta
    spec: PolicySpec = field(default_factory=PolicySpec)
    status: PolicyStatus = field(default_factory=PolicyStatus)
