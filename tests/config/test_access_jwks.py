"""What the file says of keys, and what is in a JWKS."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.access_jwks import Useless, doubts, parse, problems, read, too_short
from proxy.config.access_model import Jwt
from proxy.config.packed_keys import unpack
from proxy.config.report import Report
from tests.access.tokens import b64, jwk, jwks, pem, private

URL = "https://idp.test/jwks"


@pytest.mark.parametrize("kind", ["RSA", "P-256", "P-384", "P-521", "Ed25519", "Ed448"])
def test_keys_of_every_kind(kind: str) -> None:
    (key,), useless = parse(jwks(jwk(private(kind), kid="k", use="sig", alg=None or "")))
    assert not useless
    assert (key.kid, key.kind) == ("k", "EdDSA" if kind.startswith("Ed") else kind)


def test_the_same_key_twice_is_one_and_two_of_one_name_are_two() -> None:
    one, other = jwk(private(), kid="k"), jwk(private("RSA", 1), kid="k")
    assert len(parse(jwks(one, one, other))[0]) == 2


RSA, EC = jwk(private()), jwk(private("P-256"))
USELESS: list[tuple[Any, str]] = [
    ("text", "no object"),
    ({}, "not known here"),
    ({**RSA, "use": "enc"}, "not for signatures"),
    ({**RSA, "key_ops": ["sign"]}, "not for verifying"),
    ({**RSA, "key_ops": "verify"}, "not for verifying"),
    ({**RSA, "alg": "RSA-OAEP"}, "algorithm"),
    ({**RSA, "alg": "ES256"}, "algorithm"),
    ({**RSA, "alg": "HS256"}, "algorithm"),
    ({**RSA, "alg": "none"}, "algorithm"),
    ({**RSA, "kid": 7}, "texts"),
    ({**RSA, "kid": "k" * 513}, "texts"),
    ({**RSA, "d": "AQAB"}, "secret"),
    ({"kty": "oct", "k": b64(b"x" * 32)}, "secret"),
    (jwk(private("RSA1024")), "1024 bits"),
    ({**RSA, "n": b64(b"\xff" * 2000)}, "16000 bits"),
    ({**RSA, "n": None}, "missing"),
    ({**RSA, "n": "é"}, "missing"),
    ({**RSA, "n": "a+b/"}, "base64url"),
    ({**RSA, "e": "AQ"}, "exponent"),
    ({**RSA, "e": "AA"}, "exponent"),
    ({**RSA, "e": b64(b"\1" * 9)}, "exponent"),
    ({**EC, "crv": "secp256k1"}, "not known here"),
    ({**EC, "crv": ["P-256"]}, "not known here"),
    ({**EC, "y": EC["x"]}, "no key"),
    ({**EC, "x": "AA"}, "too short"),
    ({**jwk(private("Ed25519")), "x": "AA"}, "too short"),
    ({**jwk(private("Ed25519")), "crv": "X25519"}, "not known here"),
]


@pytest.mark.parametrize(("key", "why"), USELESS, ids=range(len(USELESS)))
def test_a_key_that_cannot_be_used_is_left_out_and_told(key: Any, why: str) -> None:
    keys, (told,) = parse(json.dumps({"keys": [key, RSA]}).encode())
    assert len(keys) == 1
    assert told.startswith("key 1") and why in told


@given(st.binary(max_size=100))
def test_any_bytes_are_a_jwks_or_none(data: bytes) -> None:
    with contextlib.suppress(Useless):
        parse(data)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(
        ["RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB", RSA["n"], EC["x"], EC["y"]]),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)  # fmt: skip
NAMES = ["kty", "crv", "n", "e", "x", "y", "d", "use", "alg", "kid", "key_ops"]


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES), max_size=4))
def test_any_keys_are_used_or_told(found: list[dict[str, Any]]) -> None:
    keys, useless = parse(json.dumps({"keys": found}).encode())
    assert len(keys) + len(useless) <= len(found)


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ({}, ""),
        ({"jwks": URL, "algorithms": []}, "algorithms"),
        ({"jwks": URL, "algorithms": ["RS256", "HS256"]}, "algorithms"),
        ({"secret": "key"}, "algorithms"),
        ({"secret": "key", "jwks": URL}, "secret"),
        ({"secret": "key", "jwks": URL, "algorithms": ["HS256"]}, "jwks"),
        ({"jwks": "http://idp.test/jwks"}, "jwks"),
        ({"jwks": "http://127.0.0.1.evil.test/jwks"}, "jwks"),
        ({"jwks": "http://localhost@evil.test/jwks"}, "jwks"),
        ({"jwks": "https://user:password@idp.test/jwks"}, "jwks"),
        ({"jwks": "file:///etc/keys"}, "jwks"),
        ({"jwks": "https://"}, "jwks"),
        ({"jwks": "https://idp.test:x/"}, "jwks"),
        ({"jwks": URL, "places": []}, "in"),
        ({"jwks": URL, "places": ["body:token"]}, "in"),
        ({"jwks": URL, "places": ["header:"]}, "in"),
        ({"jwks": URL, "places": ["header:a b"]}, "in"),
    ],
    ids=str,
)
def test_what_cannot_work_is_told_by_its_key(said: dict[str, Any], key: str) -> None:
    found = problems(Jwt(**said))
    assert [where for where, _, _ in found] == [key]
    assert "password" not in str(found).replace("passwords", "")


@pytest.mark.parametrize(
    "said",
    [
        {"jwks": URL},
        {"jwks": "keys.json"},
        {"jwks": "http://127.0.0.1:8080/jwks"},
        {"jwks": "http://[::1]/jwks"},
        {"jwks": "http://localhost/jwks"},
        {"secret": "key", "algorithms": ["HS256"]},
        {"secret": "key", "jwks": URL, "algorithms": ["HS256", "RS256"]},
    ],
    ids=str,
)
def test_what_works(said: dict[str, Any]) -> None:
    assert problems(Jwt(**said)) == []


def test_what_is_seldom_meant() -> None:
    assert [key for key, _, _ in doubts(Jwt(jwks=URL, require_exp=False))] == [
        "audience", "issuer", "require_exp",
    ]  # fmt: skip
    assert not doubts(Jwt(jwks=URL, issuer="a", audience=["b"]))


@pytest.mark.parametrize(
    ("key", "data", "told"),
    [
        ("secret", b"x" * 31, "31 bytes can be guessed"),
        ("secret", b"x" * 31 + b"\r\n", "31 bytes can be guessed"),
        ("secret", pem(private()), "published nowhere"),
        ("secret", b"x" * 5000, "4096 bytes at most"),
        ("jwks", b"{}", 'an object with a list "keys"'),
        ("jwks", b'{"keys": []}', "no key that can be used"),
        ("jwks", b"x", "no JSON"),
        ("jwks", None, "cannot read"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, key: str, data: bytes | None, told: str) -> None:
    if data is not None:
        (tmp_path / "keys").write_bytes(data)
    report = Report(str(tmp_path / "routes.toml"))
    assert read("keys", report, ("auth", "staff", "jwt", key)) == b""
    (problem,) = report.problems
    assert told in problem.message and not problem.warning


def test_files_that_can(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x" * 40 + b"\n")
    (tmp_path / "jwks").write_bytes(jwks(RSA, {**RSA, "use": "enc"}))
    report = Report(str(tmp_path / "routes.toml"))
    secret = read("secret", report, ("auth", "staff", "jwt", "secret"))
    (key,) = unpack(secret)
    assert (key.kind, key.data) == ("oct", b"x" * 40)
    assert too_short(Jwt(algorithms=["HS256"]), secret) is None
    short = too_short(Jwt(algorithms=["HS256", "HS384"]), secret)
    assert short is not None and "48" in short[1]
    assert len(unpack(read("jwks", report, ("auth", "staff", "jwt", "jwks")))) == 1
    (warning,) = report.problems
    assert warning.warning and "not for signatures" in warning.message
