"""Names of ciphers as IANA's registry has them."""

from __future__ import annotations

import pytest

from proxy.telemetry.tls import cipher_name, describe, with_service


@pytest.mark.parametrize(
    ("openssl", "iana"),
    [
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("ECDHE-RSA-AES128-GCM-SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
        ("DHE-RSA-AES256-SHA256", "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256"),
        ("AES128-SHA", "TLS_RSA_WITH_AES_128_CBC_SHA"),
        ("PSK-AES128-CCM", "PSK-AES128-CCM"),
    ],
)
def test_a_cipher_has_its_registered_name(openssl: str, iana: str) -> None:
    assert cipher_name(openssl) == iana


@pytest.mark.parametrize(
    ("identity", "service"),
    [
        ("spiffe://mesh/orders", b"orders"),
        ("spiffe://mesh/ns/a/sa/users", b"users"),
        ("CN=spiffe,O=x/y", None),
        ("spiffe://mesh", None),
        ("", None),
    ],
)
def test_a_service_is_the_end_of_a_spiffe_id(identity: str, service: bytes | None) -> None:
    told = describe("TLSv1.3", "TLS_AES_128_GCM_SHA256", "", False, "", identity)
    more = with_service(told).removeprefix(told)
    assert more.endswith(service) and b"peer.service" in more if service else more == b""
