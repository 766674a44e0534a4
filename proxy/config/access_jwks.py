"""What `[auth.NAME] jwt` says of keys: whether that can work, and what is in a JWKS (RFC 7517).

A JWKS is judged key by key: one that is no use is left out and told, the others count. Parsed is
only here, in the hub and in commands; workers get `packed_keys`.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from proxy.config.access_model import Jwt
from proxy.config.packed_keys import (
    EDDSA,
    KIND,
    P256,
    P384,
    P521,
    RSA,
    SECRET,
    SHORTEST,
    PackedKey,
    is_url,
    pack,
)  # fmt: skip

if TYPE_CHECKING:
    from proxy.config.locate import Path
    from proxy.config.report import Report

LARGEST = 1024 * 1024  # bytes of a JWKS
MOST = 256  # keys of one
KID = 512  # characters of a name
RSA_BITS = range(2048, 8192 + 1)  # RFC 7518 §3.3; larger ones take a worker's time

_COORDINATES = {P256: 32, P384: 48, P521: 66}  # bytes
_EDWARDS = {"Ed25519": 32, "Ed448": 57}  # bytes (RFC 8037 §2)

Problem = tuple[str, str, str]  # key of the table, what is wrong, what to do


class Useless(ValueError):
    """A key, or a whole set, that cannot be used; the message is for users and has no secret."""


def problems(said: Jwt) -> list[Problem]:
    """What is wrong with the table, whatever its files hold."""
    return [*_sources(said), *_place(said), *_url(said.jwks)]


def doubts(said: Jwt) -> list[Problem]:
    """What works and is seldom meant."""
    found = []
    if not said.audience:
        remedy = "name yours (RFC 8725 §3.9)"
        found.append(("audience", "tokens that were made for other services count here", remedy))
    if not said.issuer:
        found.append(("issuer", "`iss` is not looked at", "write what tokens have there"))
    if not said.require_exp and not said.max_age:
        found.append(("require_exp", "a stolen token counts for ever", "give `max_age` at least"))
    return found


def read(path: str, report: Report, place: Path) -> bytes:
    """The keys in that file, packed; b"" after an error. `place` ends with `jwks` or `secret`."""
    try:
        with open(os.path.join(os.path.dirname(report.file), path), "rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        report.error(place, f"cannot read {path}: {getattr(error, 'strerror', None) or error}")
        return b""
    try:
        if place[-1] == "secret":
            return pack([_secret(data)])
        keys, useless = parse(data)
    except Useless as error:
        report.error(place, f"{path}: {error}")
        return b""
    for why in useless:
        report.warn(place, f"{path}: {why}", "it is left out")
    if not keys:
        report.error(place, f"{path} has no key that can be used")
    return pack(keys) if keys else b""


def parse(data: bytes) -> tuple[list[PackedKey], list[str]]:
    """The keys of a JWKS that can be used, and of each other one why it cannot. Useless for what
    is no JWKS."""
    if len(data) > LARGEST:
        raise Useless(f"more than {LARGEST >> 20} MiB")
    try:
        found = msgspec.json.decode(data)
    except (ValueError, RecursionError) as error:
        raise Useless("no JSON") from error
    jwks = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(jwks, list):
        raise Useless('a JWKS is an object with a list "keys" (RFC 7517 §5)')
    if len(jwks) > MOST:
        raise Useless(f"more than {MOST} keys")
    keys: dict[PackedKey, None] = {}
    useless = []
    for i, jwk in enumerate(jwks):
        try:
            keys[_key(jwk)] = None
        except Useless as error:
            useless.append(f"key {i + 1}{_called(jwk)}: {error}")
    return list(keys), useless


def _sources(said: Jwt) -> Iterator[Problem]:
    shared = [name for name in said.algorithms if KIND[name] == SECRET]
    public = [name for name in said.algorithms if KIND[name] != SECRET]
    if not said.algorithms:
        yield "algorithms", "no algorithm, no token", 'write ["RS256"]'
        return
    if not said.jwks and not said.secret:
        yield "", "nothing says which keys count", "give `jwks`, or `secret` for HS256"
    elif shared and not said.secret:
        yield "algorithms", f"{shared[0]} needs a key that nobody else has", "give `secret`, a file"
    elif public and not said.jwks:
        remedy = "give `jwks`, or leave it out" if shared else 'write algorithms = ["HS256"]'
        yield "algorithms", f"{public[0]} needs the issuer's public keys", remedy
    if said.secret and said.jwks and not shared:
        yield "secret", "no algorithm uses it", 'add "HS256" to `algorithms`, or leave it out'
    if said.secret and said.jwks and not public:
        yield "jwks", "no algorithm uses its keys", 'add "RS256" to `algorithms`, or leave it out'


def _place(said: Jwt) -> Iterator[Problem]:
    if not said.places:
        yield "in", "a token is nowhere", 'write in = ["header:authorization"]'
    for place in said.places:
        kind, _, name = place.partition(":")
        if kind not in ("header", "cookie", "query") or not _is_token(name):
            remedy = 'write "header:authorization", "cookie:NAME" or "query:NAME"'
            yield "in", f"{place!r} is no place of a request", remedy


def _is_token(name: str) -> bool:
    return bool(name) and name.isascii() and all(c.isalnum() or c in "-_.~" for c in name)


def _url(jwks: str) -> Iterator[Problem]:
    """Whoever can change the keys on their way can make tokens."""
    if not is_url(jwks):
        return
    try:
        url = urlsplit(jwks)
        host, _ = url.hostname or "", url.port
    except ValueError:
        host = ""
    if not host or url.scheme not in ("http", "https") or url.fragment:
        yield "jwks", "this is no URL of a JWKS", 'write "https://idp.example/jwks.json"'
    elif url.username is not None:
        yield "jwks", "users and passwords of URLs are not sent", "keys are public: leave it out"
    elif url.scheme == "http" and not _is_loopback(host):
        yield "jwks", "keys that come over http:// may be anybody's", "write https://"


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def too_short(said: Jwt, packed: bytes) -> Problem | None:
    """Whether the secret that was read is shorter than an algorithm wants."""
    from proxy.config.packed_keys import unpack

    size = min((len(key.data) for key in unpack(packed)), default=0)
    for name in said.algorithms:
        if size and size < SHORTEST.get(name, 0):
            message = f"the key has {size} bytes, {name} wants {SHORTEST[name]} (RFC 7518 §3.2)"
            return "secret", message, f"`openssl rand -base64 {SHORTEST[name]}` makes one"
    return None


def _secret(data: bytes) -> PackedKey:
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if data.lstrip().startswith((b"-----BEGIN", b"ssh-")):
        raise Useless("this is a key of a pair; a secret is bytes that are published nowhere")
    if len(data) < SHORTEST["HS256"]:
        raise Useless(f"a secret of {len(data)} bytes can be guessed; HS256 wants 32 or more")
    if len(data) > 4096:
        raise Useless("a secret has 4096 bytes at most")
    return PackedKey("", SECRET, "", data)


def _called(jwk: object) -> str:
    kid = jwk.get("kid") if isinstance(jwk, dict) else None
    return f" ({kid[:64]!r})" if isinstance(kid, str) else ""


def _key(jwk: Any) -> PackedKey:
    if not isinstance(jwk, dict):
        raise Useless("no object")
    kid, alg = jwk.get("kid", ""), jwk.get("alg", "")
    if not isinstance(kid, str) or not isinstance(alg, str) or len(kid) > KID:
        raise Useless("`kid` and `alg` are texts")
    if jwk.get("use", "sig") != "sig":
        raise Useless("not for signatures")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise Useless("not for verifying")
    if jwk.get("kty") == "oct" or "d" in jwk:
        raise Useless("this is secret, and counts no more once it is published")
    if not isinstance(jwk.get("crv", ""), str):
        raise Useless("of a kind that is not known here")
    kind, public = _public(jwk)
    if alg and KIND.get(alg) != kind:
        raise Useless("no key for the algorithm that it names")
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return PackedKey(kid, kind, alg, der)


def _public(jwk: dict[str, Any]) -> tuple[str, Any]:
    """Its kind, and the key."""
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        if jwk.get("kty") == "RSA":
            return RSA, _rsa(jwk)
        if jwk.get("kty") == "EC" and jwk.get("crv") in _COORDINATES:
            return jwk["crv"], _ec(jwk)
        if jwk.get("kty") == "OKP" and jwk.get("crv") in _EDWARDS:
            return EDDSA, _edwards(jwk)
    except Useless:
        raise
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Useless("the numbers are those of no key") from error
    raise Useless("of a kind that is not known here")


def _rsa(jwk: dict[str, Any]) -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    n, e = (int.from_bytes(_bytes(jwk, name), "big") for name in ("n", "e"))
    if n.bit_length() not in RSA_BITS:
        raise Useless(f"RSA with {n.bit_length()} bits; 2048 to 8192 are taken")
    if e < 3 or e % 2 == 0 or e.bit_length() > 33:
        raise Useless("RSA with such an exponent is not taken")
    return rsa.RSAPublicNumbers(e, n).public_key()


def _ec(jwk: dict[str, Any]) -> Any:
    from cryptography.hazmat.primitives.asymmetric import ec

    size = _COORDINATES[jwk["crv"]]
    x, y = _bytes(jwk, "x"), _bytes(jwk, "y")
    if len(x) != size or len(y) != size:
        raise Useless("the coordinates are too long or too short")
    curves: dict[str, Any] = {P256: ec.SECP256R1, P384: ec.SECP384R1, P521: ec.SECP521R1}
    point = int.from_bytes(x, "big"), int.from_bytes(y, "big")
    numbers = ec.EllipticCurvePublicNumbers(*point, curves[jwk["crv"]]())
    return numbers.public_key()  # ValueError unless the point is on the curve


def _edwards(jwk: dict[str, Any]) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    x = _bytes(jwk, "x")
    if len(x) != _EDWARDS[jwk["crv"]]:
        raise Useless("the key is too long or too short")
    made: Any = Ed25519PublicKey if jwk["crv"] == "Ed25519" else Ed448PublicKey
    return made.from_public_bytes(x)


def _bytes(jwk: dict[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str) or not value.isascii():
        raise Useless(f"`{name}` is missing")
    if "+" in value or "/" in value:
        raise Useless(f"`{name}` is no base64url")
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), b"-_", validate=True)
    except ValueError:
        raise Useless(f"`{name}` is no base64url") from None
