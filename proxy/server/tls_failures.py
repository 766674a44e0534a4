"""Why a handshake failed: a kind for metrics and words for people, from what OpenSSL says.

Kinds are few and fixed; words never repeat what the other end has said, but for a SPIFFE ID that
some authority of the mesh has signed. An alert is what the other end thinks of us, everything else
is what we think of it.
"""

from __future__ import annotations

import ssl

from proxy.server.tls_identity import NotOfMesh, WrongIdentity

Failure = tuple[str, str]  # kind, words

CLOSED: Failure = ("closed", "closed the connection during the TLS handshake")
TIMEOUT: Failure = ("timeout", "took too long for the TLS handshake")
TOO_LARGE: Failure = ("too_large", "sent too much for a TLS handshake")
NOT_TLS: Failure = ("not_tls", "does not speak TLS")
PLAIN_HTTP: Failure = ("plain_http", "speaks plain HTTP and no TLS")
NO_PROTOCOL: Failure = ("no_application_protocol", "takes none of the protocols offered by ALPN")
WRONG_IDENTITY: Failure = ("wrong_identity", "has a certificate of another identity")
OTHER: Failure = ("other", "failed the TLS handshake")

# X509_V_ERR_… (openssl/x509_vfy.h)
_CERTIFICATES: dict[int, Failure] = {
    9: ("certificate_not_yet_valid", "has a certificate that is not valid yet"),
    10: ("certificate_expired", "has a certificate that has expired"),
    18: ("unknown_ca", "has a self-signed certificate"),
    19: ("unknown_ca", "has a certificate of an unknown authority"),
    20: ("unknown_ca", "has a certificate of an unknown authority"),
    21: ("unknown_ca", "has a certificate of an unknown authority"),
    23: ("certificate_revoked", "has a certificate that was revoked"),
    26: ("bad_certificate", "has a certificate for another purpose"),
    62: ("wrong_name", "has a certificate for another name"),
    64: ("wrong_name", "has a certificate for another address"),
}
_BAD_CERTIFICATE: Failure = ("bad_certificate", "has a certificate that cannot be verified")

_HANDSHAKE_FAILURE = "refused the TLS handshake: no common cipher, or it wants a certificate"

# What the error's reason begins with, the first one counts.
_REASONS: tuple[tuple[str, Failure], ...] = (
    ("PEER_DID_NOT_RETURN_A_CERTIFICATE", ("no_certificate", "has shown no certificate")),
    ("NO_SHARED_CIPHER", ("no_shared_cipher", "shares no cipher with this gateway")),
    ("NO_SUITABLE_SIGNATURE", ("no_shared_cipher", "shares no signature algorithm")),
    ("NO_SUITABLE_KEY_SHARE", ("no_shared_cipher", "shares no group of keys")),
    ("NO_SHARED_GROUP", ("no_shared_cipher", "shares no group of keys")),
    ("UNSUPPORTED_PROTOCOL", ("version", "speaks no version of TLS that is allowed here")),
    ("VERSION_TOO_LOW", ("version", "speaks no version of TLS that is allowed here")),
    ("NO_PROTOCOLS_AVAILABLE", ("version", "speaks no version of TLS that is allowed here")),
    ("WRONG_SSL_VERSION", ("version", "speaks no version of TLS that is allowed here")),
    ("TLSV1_ALERT_PROTOCOL_VERSION", ("version", "allows no version of TLS that is spoken here")),
    ("HTTP_REQUEST", PLAIN_HTTP),
    ("HTTPS_PROXY_REQUEST", PLAIN_HTTP),
    ("WRONG_VERSION_NUMBER", NOT_TLS),
    ("PACKET_LENGTH_TOO_LONG", NOT_TLS),
    ("RECORD_LAYER_FAILURE", NOT_TLS),
    ("UNEXPECTED_EOF_WHILE_READING", CLOSED),
    (
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        ("certificate_required", "wants a certificate that this gateway does not have"),
    ),
    ("TLSV1_ALERT_UNKNOWN_CA", ("alert_unknown_ca", "does not know our certificate's authority")),
    ("SSLV3_ALERT_CERTIFICATE_EXPIRED", ("alert_expired", "holds our certificate to be expired")),
    ("SSLV3_ALERT_BAD_CERTIFICATE", ("alert_bad_certificate", "does not take our certificate")),
    (
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        ("alert_bad_certificate", "does not take our certificate"),
    ),
    ("SSLV3_ALERT_CERTIFICATE_REVOKED", ("alert_bad_certificate", "does not take our certificate")),
    (
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        ("alert_bad_certificate", "does not take our certificate"),
    ),
    ("TLSV1_ALERT_ACCESS_DENIED", ("alert_access_denied", "denied access to our certificate")),
    ("TLSV1_ALERT_NO_APPLICATION_PROTOCOL", NO_PROTOCOL),
    ("TLSV1_UNRECOGNIZED_NAME", ("alert_unknown_name", "does not know the server name")),
    ("SSLV3_ALERT_HANDSHAKE_FAILURE", ("alert_handshake_failure", _HANDSHAKE_FAILURE)),
)


def failure(error: BaseException) -> Failure:
    """What an exception of a handshake means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATES.get(error.verify_code, _BAD_CERTIFICATE)
    if isinstance(error, NotOfMesh):
        return error.kind, error.words
    if isinstance(error, WrongIdentity):
        return WRONG_IDENTITY
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        for begins, meaning in _REASONS:
            if reason.startswith(begins):
                return meaning
        if "_ALERT_" in reason:
            return "alert_other", "ended the TLS handshake with an alert"
        return OTHER
    if isinstance(error, TimeoutError):
        return TIMEOUT
    return CLOSED
