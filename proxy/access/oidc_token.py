"""What an ID token must say to be a login (OpenID Connect Core 1.0 §3.1.3.7, RFC 8725)."""

from __future__ import annotations

from hmac import compare_digest
from typing import Any

from proxy.access import claims as claim
from proxy.access.jws import MALFORMED, Unsound, parse
from proxy.access.keyset import KeySet

SIGNATURE, KEY_UNKNOWN, NONCE = "signature", "key_unknown", "nonce"
LARGEST = 64 * 1024  # bytes of one; those with hundreds of groups have 20,000

# Those with a public key: whoever can verify an HMAC can make one, and "none" is no signature.
_ALGORITHMS = frozenset(
    f"{kind}{size}" for kind in ("RS", "PS", "ES") for size in (256, 384, 512)
) | {"EdDSA"}
_LEEWAY = 60.0  # seconds that clocks may differ
_OLDEST = 600.0  # seconds since `iat`: it has just been made


def verify(
    token: bytes, keys: KeySet, issuer: str, client_id: str, nonce: str, now: float
) -> dict[str, Any]:
    """Its claims. Unsound if they are not those of a login at this issuer, for this client, of the
    flow with this nonce, at this time; its reason is `key_unknown` where newer keys may help."""
    jws = parse(token, LARGEST, _ALGORITHMS)
    candidates = keys.candidates(jws.kid, jws.alg)
    if not candidates:
        raise Unsound(KEY_UNKNOWN)
    if not any(key.verifies(jws.alg, jws.signed, jws.signature) for key in candidates):
        raise Unsound(SIGNATURE)
    claims = jws.claims()
    wanted = claim.Wanted(issuer, frozenset({client_id}), _LEEWAY, True, _OLDEST)
    claim.check(claims, wanted, now)
    _check_party(claims, client_id)
    said, subject = claims.get("nonce"), claims.get("sub")
    if not isinstance(said, str) or not compare_digest(said.encode(), nonce.encode()):
        raise Unsound(NONCE)
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise Unsound(MALFORMED)
    return claims


def _check_party(claims: dict[str, Any], client_id: str) -> None:
    """Whom it was made for, where several may read it."""
    party = claims.get("azp")
    if party is None and len(claim.texts(claims["aud"])) == 1:
        return
    if party != client_id:
        raise Unsound(claim.AUDIENCE)
