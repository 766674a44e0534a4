"""Certificates and authorities of a cluster: taken out of Secrets and ConfigMaps, and tried.

What cannot be used is told by its reason, so that it is refused where it is referred to and does
not keep everything else from coming into force. An object is tried once, as long as it is the
same; whether it has expired is asked each time.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import NamedTuple

from proxy.sources.kubernetes.core_objects import ConfigMap, Secret
from proxy.sources.kubernetes.kinds import Broken


class Pair(NamedTuple):
    """A certificate with its key, or why there is none."""

    cert: bytes = b""
    key: bytes = b""
    expires: float = 0.0  # Unix time
    why: str = ""


class Authorities(NamedTuple):
    pem: bytes = b""
    expires: float = 0.0  # of the one that lasts longest
    why: str = ""


class Vault:
    """What was tried, for as long as somebody refers to it."""

    def __init__(self) -> None:
        self._pairs: dict[object, Pair] = {}
        self._authorities: dict[object, Authorities] = {}

    def pair(self, secret: Secret | Broken, now: float) -> Pair:
        mark = _mark(secret)
        found = self._pairs.get(mark)
        if found is None:
            found = self._pairs[mark] = _pair(secret)
        if not found.why and found.expires < now:
            return Pair(why="its certificate has expired")
        return found

    def authorities(self, config_map: ConfigMap | Broken, now: float) -> Authorities:
        mark = _mark(config_map)
        found = self._authorities.get(mark)
        if found is None:
            found = self._authorities[mark] = _authorities(config_map)
        if not found.why and found.expires < now:
            return Authorities(why="its authorities have expired")
        return found

    def forget(self, most: int = 10_000) -> None:
        """Of earlier versions there may be many."""
        for known in (self._pairs, self._authorities):
            if len(known) > most:
                known.clear()


def _mark(found: Secret | ConfigMap | Broken) -> object:
    meta = found.metadata
    return meta.namespace, meta.name, meta.resource_version, hash(str(getattr(found, "data", "")))


def _pair(secret: Secret | Broken) -> Pair:
    from proxy.config.tls_pem import Unusable, certified

    if isinstance(secret, Broken):
        return Pair(why=secret.why)
    if secret.type and secret.type != "kubernetes.io/tls":
        return Pair(why=f"it is of type {secret.type} and not kubernetes.io/tls")
    data = secret.data or {}
    try:
        cert, key = (b64decode(data[name], validate=True) for name in ("tls.crt", "tls.key"))
        made = certified(cert, key, ("tls.crt", "tls.key"))
    except KeyError as missing:
        return Pair(why=f"it has no {missing.args[0]}")
    except (Unusable, binascii.Error, ValueError) as error:
        return Pair(why=f"{error}")
    return Pair(made.cert, made.key, made.expires)


def _authorities(config_map: ConfigMap | Broken) -> Authorities:
    from proxy.config.tls_pem import Unusable, certificates, expiry

    if isinstance(config_map, Broken):
        return Authorities(why=config_map.why)
    text = (config_map.data or {}).get("ca.crt", "")
    if not text:
        return Authorities(why="it has no ca.crt")
    pem = text.encode("utf-8", "replace")
    try:
        return Authorities(pem, max(expiry(one) for one in certificates(pem, "ca.crt")))
    except (Unusable, ValueError) as error:
        return Authorities(why=f"{error}")
