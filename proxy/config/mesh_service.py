"""What a sidecar is told outside its file: whose it is, and where the application listens.

A pod's environment has what the downward API puts there; the resource of telemetry, which has its
own rules for it, is `collector/resource.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from proxy.problem import ConfigError

NOWHERE = "<sidecar>"  # in the place of a file's name: there is none
# What such a file would say: wherever rules are that somebody has made, destinations are known.
TEXT = '[mesh]\nredirect = "nft"\n'

# What the options of `spangate sidecar` become; they win over the file, but for the last, which is
# for one that leaves it open.
APP, SERVICE, REDIRECT = "SPANGATE_APP", "SPANGATE_SERVICE", "SPANGATE_REDIRECT"

# What owns a pod is called as its service is, more often than not; the first one set wins.
_OWNERS = (
    "K8S_DEPLOYMENT_NAME",
    "DEPLOYMENT_NAME",
    "K8S_STATEFULSET_NAME",
    "K8S_DAEMONSET_NAME",
    "K8S_CONTAINER_NAME",
    "CONTAINER_NAME",
)
_PODS = ("K8S_POD_NAME", "POD_NAME", "MY_POD_NAME")
# "orders-6d4cf56db6-x7k2p" of a Deployment: the hash of its ReplicaSet, and five letters that are
# no vowels, so that they make no words (k8s.io/apimachinery/pkg/util/rand)
_REPLICA = re.compile(r"(.+?)-[bcdf-hj-np-tv-z0-9]{6,10}-[bcdf-hj-np-tv-z0-9]{5}")
_ORDINAL = re.compile(r"(.+)-[0-9]+")  # of a StatefulSet


def fill_mesh(raw: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Put into `[mesh]` of `raw`, if there is one, what the environment says."""
    mesh = raw.get("mesh")
    if not isinstance(mesh, dict):
        return
    for key, name in (("app", APP), ("name", SERVICE)):
        if said := environ.get(name, "").strip():
            mesh[key] = f"127.0.0.1:{said}" if key == "app" and said.isdigit() else said
    if (said := environ.get(REDIRECT, "").strip()) and mesh.get("redirect", "none") == "none":
        mesh["redirect"] = said
    if not mesh.get("name"):
        resource = raw.get("resource")
        known = resource.get("service.name") if isinstance(resource, dict) else None
        if name := known or service_of(environ):
            mesh["name"] = name
    # A sidecar stands beside each application: it is small unless it is told to be more.
    raw.setdefault("workers", 1)
    raw.setdefault("processes", "small")


def lacks_mesh(error: ConfigError) -> bool:
    """Whether what cannot be used is no sidecar's file at all: it can be read, and has no [mesh].
    Then nothing else that is wrong with it matters to whoever wants a sidecar."""
    import tomllib

    if any(problem.key == "file" for problem in error.problems):
        return False
    try:
        return "mesh" not in tomllib.loads(error.text)
    except ValueError:
        return False


def service_of(environ: Mapping[str, str]) -> str:
    """The service that a pod's environment tells of, "" = it does not."""
    for key in _OWNERS:
        if name := environ.get(key, "").strip():
            return name
    for key in _PODS:
        if pod := environ.get(key, "").strip():
            found = _REPLICA.fullmatch(pod) or _ORDINAL.fullmatch(pod)
            return found[1] if found else pod
    return ""
