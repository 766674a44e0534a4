"""TLS towards services, as BackendTLSPolicy says it: by which names and authorities their servers
are verified. A policy that cannot be followed leaves no way to its service, as it must."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from proxy.sources.kubernetes.conditions import Told, accepted, resolved
from proxy.sources.kubernetes.kinds import Broken, Key
from proxy.sources.kubernetes.objects import Reference
from proxy.sources.kubernetes.policy_objects import BackendTlsPolicy, Validation
from proxy.sources.kubernetes.vault import Vault
from proxy.sources.kubernetes.world import World, age

Table = dict[str, Any]


@dataclass(slots=True)
class Policy:
    """One, judged."""

    key: Key
    policy: BackendTlsPolicy | Broken
    told: list[Told] = field(default_factory=list)
    tls: Table = field(default_factory=dict)  # of an upstream
    ancestors: set[Key] = field(default_factory=set)  # Gateways whose routes go to its services

    @property
    def why(self) -> str:
        """Why it cannot be followed, "" = it can."""
        return next((one.message or one.reason for one in self.told if not one.holds), "")


class Policies:
    """All of a cluster, by what they are for."""

    def __init__(self, world: World, vault: Vault) -> None:
        self.all: list[Policy] = []
        self.authorities: dict[str, bytes] = {}  # PEM by name in the tables
        self.config_maps: set[Key] = set()  # that are referred to
        self._targets: dict[tuple[Key, str], Policy] = {}  # service and port's name, "" = all
        found = [(key, one) for key, one in world.all("BackendTLSPolicy")]
        for key, policy in sorted(found, key=lambda pair: age(pair[1])):
            self._add(Policy(key, policy), world, vault)

    def of(self, service: Key, port: str) -> Policy | None:
        return self._targets.get((service, port)) or self._targets.get((service, ""))

    def _add(self, made: Policy, world: World, vault: Vault) -> None:
        policy = made.policy
        self.all.append(made)
        if isinstance(policy, Broken):
            made.told = [accepted("Invalid", policy.why)]
            for name in _targets_of(policy.spec):
                self._targets.setdefault(((made.key[0], name), ""), made)
            return
        self._judge(made, policy, world, vault)
        services = [one for one in policy.spec.target_refs if _is_service(one)]
        targets = [_target(made.key[0], one) for one in services]
        taken = [target for target in targets if target in self._targets]
        if taken and len(taken) == len(targets):
            other = "/".join(self._targets[taken[0]].key)
            made.told = [accepted("Conflicted", f"BackendTLSPolicy {other} is older")]
        for target in targets:
            self._targets.setdefault(target, made)

    def _judge(self, made: Policy, policy: BackendTlsPolicy, world: World, vault: Vault) -> None:
        said = policy.spec.validation
        fault = _fault(said, policy)
        made.told = [accepted("Invalid", fault) if fault else accepted()]
        if fault:
            return
        made.tls = {"server_name": said.hostname}
        uris = [name.uri for name in said.subject_alt_names if name.type == "URI"]
        if uris:
            made.tls["identities"] = uris
        if not said.ca_certificate_refs:
            made.told.append(resolved())
            return
        pems, told = [], resolved()
        for reference in said.ca_certificate_refs:
            pem, wrong = self._authority(reference, made.key[0], world, vault)
            pems.append(pem)
            told = wrong or told
        if not told.holds:
            made.told = [accepted("NoValidCACertificate", told.message), told]
            return
        name = "/".join(made.key)
        self.authorities[name] = b"\n".join(pems)
        made.tls["ca"] = f"source:{name}"
        made.told.append(told)

    def _authority(
        self, reference: Reference, namespace: str, world: World, vault: Vault
    ) -> tuple[bytes, Told | None]:
        if (reference.group or "", reference.kind) != ("", "ConfigMap"):
            return b"", resolved("InvalidKind", f"{reference.kind} is no ConfigMap")
        key = (namespace, reference.name)
        self.config_maps.add(key)
        config_map = world.get("ConfigMap", *key)
        if config_map is None:
            message = f"there is no ConfigMap {'/'.join(key)}"
            return b"", resolved("InvalidCACertificateRef", message)
        found = vault.authorities(config_map, world.now)
        if found.why:
            message = f"ConfigMap {'/'.join(key)}: {found.why}"
            return b"", resolved("InvalidCACertificateRef", message)
        return found.pem, None


def _fault(said: Validation, policy: BackendTlsPolicy) -> str:
    if policy.spec.options:
        return f"options are not supported: {', '.join(sorted(policy.spec.options)[:5])}"
    if said.well_known_ca_certificates not in ("", "System"):
        return f"wellKnownCACertificates {said.well_known_ca_certificates} is not supported"
    if bool(said.well_known_ca_certificates) == bool(said.ca_certificate_refs):
        return "it needs one of caCertificateRefs and wellKnownCACertificates"
    if not said.hostname or said.hostname.startswith("*"):
        return f"{said.hostname!r} is no hostname"
    for name in said.subject_alt_names:
        if name.type == "Hostname" and name.hostname.lower() != said.hostname.lower():
            return "subjectAltNames: of type Hostname only the hostname itself is supported"
        if name.type == "URI" and "://" not in name.uri:
            return f"subjectAltNames: {name.uri!r} is no URI"
        if name.type not in ("Hostname", "URI"):
            return f"subjectAltNames: type {name.type} is not supported"
    return ""


def _is_service(reference: Reference) -> bool:
    return (reference.group or "", reference.kind) == ("", "Service")


def _target(namespace: str, reference: Reference) -> tuple[Key, str]:
    return (namespace, reference.name), reference.section_name or ""


def _targets_of(spec: Any) -> list[str]:
    """Names in what could not be read."""
    references = spec.get("targetRefs") if isinstance(spec, dict) else None
    found = references if isinstance(references, list) else []
    names = [one.get("name") for one in found if isinstance(one, dict)]
    return [name for name in names if isinstance(name, str)]
