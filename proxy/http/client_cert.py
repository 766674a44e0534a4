"""Who a client is by its certificate, and how upstreams are told (X-Forwarded-Client-Cert).

The field is Envoy's: By, Hash, Subject, URI and DNS, an element for each hop that saw one
(envoyproxy.io, "HTTP header manipulation", x-forwarded-client-cert). Names are written as RFC 4514
has them. `certificate` is what `ssl` makes of one: a subject, and subjectAltName.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

XFCC = b"x-forwarded-client-cert"

# RFC 4514 §3; what has no short name keeps OpenSSL's long one.
_SHORT = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
_SPECIAL = frozenset(',+"\\<>;=')
_TO_QUOTE = frozenset(',;="\\ ')


def subject_of(certificate: Mapping[str, Any]) -> str:
    """The distinguished name, the most particular part first; "" if it has none."""
    return ",".join(
        "+".join(f"{_SHORT.get(key, key)}={_escaped(value)}" for key, value in together)
        for together in reversed(certificate.get("subject", ()))
    )


def names_of(certificate: Mapping[str, Any], kind: str) -> list[str]:
    """Its subjectAltNames of that kind: DNS, URI, "IP Address"."""
    return [value for what, value in certificate.get("subjectAltName", ()) if what == kind]


def identity_of(certificate: Mapping[str, Any]) -> str:
    """Its first URI, which is what a mesh goes by (SPIFFE), else its subject."""
    return next(iter(names_of(certificate, "URI")), "") or subject_of(certificate)


def element(certificate: Mapping[str, Any], digest: str, by: str) -> bytes:
    """What X-Forwarded-Client-Cert says of it; `digest`: SHA-256 of its DER in hex digits, `by`:
    the URI of the certificate that was shown to it, "" = none."""
    pairs = [("By", by)] if by else []
    pairs += [("Hash", digest), ("Subject", f'"{_quoted(subject_of(certificate))}"')]
    pairs += [("URI", value) for value in names_of(certificate, "URI")]
    pairs += [("DNS", value) for value in names_of(certificate, "DNS")]
    text = ";".join(f"{key}={value if key == 'Subject' else _value(value)}" for key, value in pairs)
    return text.encode("ascii")


def forwarded(before: bytes | None, own: bytes | None) -> bytes | None:
    """The field for the next hop: what a trusted peer says, and this hop's element."""
    if own is None:
        return before
    return own if before is None else before + b"," + own


def _escaped(value: str) -> str:
    """RFC 4514 §2.4; whatever is not printable ASCII as the hex digits of its UTF-8."""
    made = "".join(map(_character, value))
    if made[:1] in (" ", "#"):
        made = "\\" + made
    if value.endswith(" ") and len(value) > 1:
        made = made[:-1] + "\\ "
    return made


def _character(one: str) -> str:
    if one in _SPECIAL:
        return "\\" + one
    if " " <= one <= "~":
        return one
    return "".join(f"\\{byte:02X}" for byte in one.encode("utf-8", "replace"))


def _value(value: str) -> str:
    plain = "".join(_percent(value))
    return f'"{_quoted(plain)}"' if _TO_QUOTE.intersection(plain) else plain


def _percent(value: str) -> Iterable[str]:
    for one in value:
        if " " <= one <= "~":
            yield one
        else:
            yield from (f"%{byte:02X}" for byte in one.encode("utf-8", "replace"))


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
