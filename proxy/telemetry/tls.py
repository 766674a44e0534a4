"""What spans say of a connection with TLS: encoded once for each connection, copied for each span.

Names are those of the semantic conventions' registry (registry/attributes/tls.md); ciphers have
the names of IANA's registry there, and others in OpenSSL.
"""

from __future__ import annotations

import re
from functools import lru_cache

from proxy.telemetry import protobuf
from proxy.telemetry.blocks import SPAN_ATTRIBUTES
from proxy.telemetry.instruments import MESH_HANDSHAKES
from proxy.telemetry.metrics import Attributes, Registry

_EXCHANGE = re.compile(r"(ECDHE|DHE)-(RSA|ECDSA|DSS)-(.+)")
_GCM = re.compile(r"AES(\d+)-GCM-(SHA\d+)")
_CBC = re.compile(r"AES(\d+)-(SHA\d*)")
_CHACHA = "CHACHA20-POLY1305"
_SPIFFE = b"spiffe://"


@lru_cache(256)
def describe(
    version: str,
    cipher: str,
    protocol: str,
    resumed: bool,
    subject: str = "",
    identity: str = "",
) -> bytes:
    """Attributes of a span, as bytes of it; `version` and `cipher` as OpenSSL says them, `protocol`
    by ALPN; `subject` and `identity` of a verified client certificate. "" = there is none."""
    pairs: list[tuple[str, protobuf.Value]] = [
        ("tls.protocol.name", "tls"),
        ("tls.protocol.version", version.removeprefix("TLSv")),
        ("tls.cipher", cipher_name(cipher)),
        ("tls.resumed", resumed),
    ]
    more = (
        ("tls.next_protocol", protocol),
        ("tls.client.subject", subject),
        ("spangate.peer.identity", identity),  # the last: see with_service
    )
    pairs += [(key, value) for key, value in more if value]
    return protobuf.attributes(SPAN_ATTRIBUTES, pairs)


@lru_cache(256)
def with_service(told: bytes) -> bytes:
    """What `describe` has told, and `peer.service`: the last segment of the other end's SPIFFE ID.

    Nothing more where it has shown none. Its identity is what is told last, and its end is as
    harmless as the grammar of these has it (`config/spiffe.py`).
    """
    _, found, name = told.rpartition(_SPIFFE)
    if not found or b"/" not in name:
        return told
    pair = ("peer.service", name.rpartition(b"/")[2].decode("ascii", "replace"))
    return told + protobuf.attributes(SPAN_ATTRIBUTES, [pair])


def cipher_name(openssl: str) -> str:
    """IANA's name for a cipher of TLS 1.2; those of TLS 1.3 are called the same everywhere."""
    if openssl.startswith("TLS_"):
        return openssl
    found = _EXCHANGE.fullmatch(openssl)
    exchange, rest = (f"{found[1]}_{found[2]}", found[3]) if found else ("RSA", openssl)
    bulk = _bulk(rest)
    return f"TLS_{exchange}_WITH_{bulk}" if bulk else openssl


def _bulk(rest: str) -> str:
    if rest == _CHACHA:
        return "CHACHA20_POLY1305_SHA256"
    if found := _GCM.fullmatch(rest):
        return f"AES_{found[1]}_GCM_{found[2]}"
    if found := _CBC.fullmatch(rest):
        return f"AES_{found[1]}_CBC_{found[2]}"
    return ""


def count_handshake(
    registry: Registry | None, what: str, version: str | None, resumed: bool, where: Attributes = ()
) -> None:
    """One that went well, in the instrument `what`."""
    if registry is None:
        return
    said = (
        ("tls.protocol.version", (version or "").removeprefix("TLSv")),
        ("tls.resumed", resumed),
    )
    registry.number(what, (*where, *said)).value += 1


def count_peer(registry: Registry | None, direction: str, identity: str) -> None:
    """One with somebody whose identity the mesh vouches for; "inbound": it has called here."""
    if registry is not None:
        labels = (("spangate.direction", direction), ("spangate.peer.identity", identity))
        registry.number(MESH_HANDSHAKES, labels).value += 1


def count_failure(registry: Registry | None, what: str, kind: str, where: Attributes = ()) -> None:
    """One that failed, and why: a word of `server/tls_failures.py`."""
    if registry is None:
        return
    registry.number(what, (*where, ("spangate.reason", kind))).value += 1
