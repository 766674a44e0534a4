"""What a signed token costs a worker: `python -m benchmarks.access_jwt`.

A token of about 800 bytes, as identity providers make them, in a head with twelve lines. "again":
it has been verified before, and is found by its hash. "first": all of it, from the head to the
claims, the verification by `cryptography` included, which is also measured alone. A look at the
floor: `sha256` of the token alone. Best of many short rounds, since the machine is shared.
"""

from __future__ import annotations

import json
import sys
from base64 import urlsafe_b64encode
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from proxy.access.check import Asked, Identity
from proxy.access.jwt import Jwt
from proxy.access.keyset import KeySet
from proxy.config.access_model import Jwt as Said
from proxy.config.packed_keys import KIND, PackedKey, pack
from proxy.http.head import RequestHead

NOW = 1_800_000_000
ROUNDS = 300
AGAIN, FIRST = 200, 5  # calls in a round
LINES = [(b"x-field-%d" % n, b"value %d" % n) for n in range(11)]
ISSUER = "https://idp.example/realms/shop"
CLAIMS = {
    "iss": ISSUER, "aud": ["shop", "account"], "sub": "6f1c2c1e-4d5a",
    "exp": NOW + 300, "iat": NOW, "jti": "2b1f0a0e-3c57-4f0e-9a1e-1d4a7a3b6c55", "typ": "Bearer",
    "scope": "openid profile email orders:read", "email": "ada@shop.example", "name": "Ada L.",
    "realm_access": {"roles": ["offline_access", "user", "admin"]}, "sid": "af3e9e31-7f0b",
}  # fmt: skip
SAID = Said(
    issuer=ISSUER,
    audience=["shop"],
    scopes=["orders:read"],
    headers={"x-user": "sub", "x-email": "email"},
    attributes={"user.id": "sub"},
    secret="secret",
    algorithms=["RS256", "ES256", "EdDSA", "HS256"],
)

Sign = Callable[[bytes], bytes]


def keys() -> dict[str, tuple[bytes, Sign]]:
    """By algorithm: the public half as workers get it, and what signs."""
    one = rsa.generate_private_key(65537, 2048)
    two = ec.generate_private_key(ec.SECP256R1())
    three = ed25519.Ed25519PrivateKey.generate()

    def es(data: bytes) -> bytes:
        r, s = utils.decode_dss_signature(two.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return {
        "RS256": (der(one), lambda data: one.sign(data, padding.PKCS1v15(), hashes.SHA256())),
        "ES256": (der(two), es),
        "EdDSA": (der(three), three.sign),
    }


def der(key: Any) -> bytes:
    made: bytes = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return made


def b64(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


def asked(token: bytes) -> Asked:
    head = RequestHead()
    for name, value in [*LINES, (b"authorization", b"Bearer " + token)]:
        head.receive(name, value)
    return Asked(head, "10.0.0.1", "https", "shop.example", NOW)


def best(call: Callable[[int], object], times: int) -> float:
    """Microseconds of one call, in the best round."""
    found = sys.maxsize
    for _ in range(ROUNDS):
        began = perf_counter_ns()
        for n in range(times):
            call(n)
        found = min(found, perf_counter_ns() - began)
    return found / times / 1000


def measure(alg: str, public: bytes, sign: Sign) -> tuple[float, float, float, int]:
    """Microseconds: again, first, the signature alone; and bytes of the token."""
    keyset = KeySet(pack([PackedKey("k1", KIND[alg], "", public)]))
    check = Jwt("staff", SAID, keyset, None)
    made = []
    for n in range(FIRST):
        head = b64(json.dumps({"alg": alg, "typ": "JWT", "kid": "k1"}).encode())
        signed = head + b"." + b64(json.dumps({**CLAIMS, "n": n}).encode())
        made.append(signed + b"." + b64(sign(signed)))
    questions = [asked(token) for token in made]
    assert all(isinstance(check.decide(question), Identity) for question in questions)
    again = best(lambda n: check.decide(questions[0]), AGAIN)

    def first(n: int) -> object:
        check._good._young.clear()
        return check.decide(questions[n])

    whole = best(first, FIRST)
    (key,) = keyset.candidates("k1", alg)
    signed, _, signature = made[0].rpartition(b".")
    raw = sign(signed)
    assert signature
    alone = best(lambda n: key.verifies(alg, signed, raw), FIRST)
    return again, whole, alone, len(made[0])


def main() -> None:
    from hashlib import sha256

    print(f"{'alg':6} {'bytes':>6} {'again':>8} {'first':>8} {'signature':>10} {'ours':>8}   µs")
    for alg, (public, sign) in keys().items():
        again, whole, alone, size = measure(alg, public, sign)
        row = f"{alg:6} {size:6} {again:8.2f} {whole:8.1f} {alone:10.1f} {whole - alone:8.1f}"
        print(row, flush=True)
    text = bytes(800)
    print(f"sha256 of 800 bytes {best(lambda n: sha256(text).digest(), AGAIN):.2f} µs")


if __name__ == "__main__":
    main()
