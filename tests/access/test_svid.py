"""The leaf of an X.509-SVID: read from real certificates, and from bytes that are none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from proxy.access.svid import identity
from proxy.http.x509 import DIGITAL_SIGNATURE, Facts, facts

KEY = ec.generate_private_key(ec.SECP256R1())
ME = "spiffe://mesh/shop"


def usage(*said: str) -> x509.KeyUsage:
    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: name in said for name in names})


def made(*extensions: x509.ExtensionType) -> bytes:
    name = x509.Name([])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(hours=1))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(KEY, SHA256()).public_bytes(Encoding.DER)


def names(*uris: str, dns: tuple[str, ...] = ()) -> x509.SubjectAlternativeName:
    said: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    return x509.SubjectAlternativeName([*said, *map(x509.DNSName, dns)])


LEAF = x509.BasicConstraints(ca=False, path_length=None)
CA = x509.BasicConstraints(ca=True, path_length=0)
SIGNS = usage("digital_signature")


def test_what_a_certificate_says() -> None:
    assert facts(made(names(ME, dns=("shop.mesh",)), LEAF, SIGNS)) == Facts(
        (ME,), False, DIGITAL_SIGNATURE
    )
    assert facts(made(CA)) == Facts((), True, None)
    assert facts(made()) == Facts((), False, None)


@pytest.mark.parametrize(
    "extensions",
    [
        (names(ME), LEAF, SIGNS),
        (names(ME),),  # nothing else is said
        (names(ME, dns=("shop.mesh", "shop")), SIGNS, LEAF),
        (names(ME), usage("digital_signature", "key_agreement")),
        (names(ME), SIGNS, x509.ExtendedKeyUsage([x509.OID_SERVER_AUTH])),
    ],
)
def test_who_it_is(extensions: tuple[x509.ExtensionType, ...]) -> None:
    assert str(identity(made(*extensions))) == ME


@pytest.mark.parametrize(
    ("extensions", "why"),
    [
        ((names(ME), CA, SIGNS), "of an authority"),
        ((names(ME), LEAF, usage("digital_signature", "key_cert_sign")), "may sign others"),
        ((names(ME), LEAF, usage("digital_signature", "crl_sign")), "may sign others"),
        ((names(ME), LEAF, usage("key_encipherment")), "not sign handshakes"),
        ((LEAF, SIGNS), "no URI names"),
        ((names(dns=("shop.mesh",)), LEAF), "no URI names"),
        ((names(ME, "spiffe://mesh/admin"), LEAF), "2 URI names"),
        ((names(ME, ME), LEAF), "2 URI names"),
        ((names(ME, "https://shop.example/"), LEAF), "2 URI names"),
        ((names("https://shop.example/"), LEAF), "no SPIFFE ID"),
        ((names("spiffe://mesh/a/../b"), LEAF), "no SPIFFE ID"),
        ((names("spiffe://MESH/a"), LEAF), "no SPIFFE ID"),
        ((names("spiffe://mesh"), LEAF), "no workload"),
    ],
)
def test_who_is_nobody(extensions: tuple[x509.ExtensionType, ...], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        identity(made(*extensions))


WHOLE = made(names(ME), LEAF, SIGNS)


@given(st.binary(max_size=200))
def test_any_bytes_are_facts_or_a_value_error(data: bytes) -> None:
    try:
        found = facts(data)
    except ValueError:
        return
    assert found.uris == ()  # a few bytes may be a certificate with nothing in it


@given(st.data())
def test_a_certificate_with_a_byte_changed_is_facts_or_a_value_error(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(WHOLE) - 1))
    broken = bytearray(WHOLE)
    broken[at] = data.draw(st.integers(0, 255))
    try:
        found = facts(bytes(broken))
    except ValueError:
        return
    assert all(isinstance(uri, str) for uri in found.uris)


@given(st.integers(0, len(WHOLE) - 1))
def test_a_certificate_cut_off_is_none(size: int) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        facts(WHOLE[:size])
