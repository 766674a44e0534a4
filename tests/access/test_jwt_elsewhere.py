"""Signatures that take long are verified off the loop, others at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from proxy.access.check import Asked, Identity, Pending, Refusal, Verdict
from proxy.access.jwt import Jwt
from proxy.access.keyset import KeySet
from proxy.config.access_model import Jwt as Said
from proxy.http.head import RequestHead
from tests.access.tokens import AUDIENCE, ISSUER, NOW, jwk, packed, private, token

Work = tuple[Callable[[], bool], Callable[[bool], None]]

CASES = [
    ("RS256", ["RSA"], False),
    ("PS256", ["RSA"], False),
    ("RS256", ["RSA4096"], False),
    ("RS256", ["RSA8192"], True),
    ("ES256", ["P-256"], False),
    ("ES384", ["P-384"], True),
    ("ES512", ["P-521"], True),
    ("EdDSA", ["Ed25519"], False),
    ("EdDSA", ["Ed448"], True),
    ("ES256", ["P-256", "P-256"], True),  # both are tried where the token names none
    ("EdDSA", ["Ed25519", "Ed25519"], True),
    ("RS256", ["RSA", "RSA", "RSA", "RSA"], False),
]


def check(alg: str, kinds: list[str], works: list[Work]) -> Jwt:
    made = [jwk(private(kind, n)) for n, kind in enumerate(kinds)]
    said = Said(jwks="jwks.json", issuer=ISSUER, audience=[AUDIENCE], algorithms=[alg])
    return Jwt("staff", said, KeySet(packed(*made)), None, lambda *work: works.append(work))


def asked(shown: bytes) -> Asked:
    head = RequestHead()
    head.receive(b"authorization", b"Bearer " + shown)
    return Asked(head, "10.0.0.1", "https", "shop.test", NOW)


def signed(alg: str, kind: str, number: int = 0) -> bytes:
    return token(key=private(kind, number), alg=alg, head={"kid": ""})


@pytest.mark.parametrize(("alg", "kinds", "is_elsewhere"), CASES)
def test_what_takes_long_is_verified_elsewhere(
    alg: str, kinds: list[str], is_elsewhere: bool
) -> None:
    works: list[Work] = []
    verdict = check(alg, kinds, works).decide(asked(signed(alg, kinds[-1], len(kinds) - 1)))
    assert isinstance(verdict, Pending if is_elsewhere else Identity)
    if isinstance(verdict, Pending):
        found: list[Any] = []
        verdict.begin(None, found.append)
        ((work, done),) = works
        assert not found
        done(work())
        assert isinstance(found[0], Identity)


def test_what_was_verified_elsewhere_is_remembered_good_or_bad() -> None:
    works: list[Work] = []
    made = check("ES384", ["P-384"], works)
    good = signed("ES384", "P-384")
    bad = signed("ES384", "P-384", 1)
    for shown in (good, bad):
        found: list[Verdict] = []
        verdict = made.decide(asked(shown))
        assert isinstance(verdict, Pending)
        verdict.begin(None, found.append)
        work, done = works[-1]
        done(work())
        assert made.decide(asked(shown)) is found[0]
    assert isinstance(found[0], Refusal) and found[0].reason == "signature"
    assert len(works) == 2


def test_nobody_is_told_when_the_request_is_over() -> None:
    works: list[Work] = []
    made = check("ES512", ["P-521"], works)
    verdict = made.decide(asked(signed("ES512", "P-521")))
    assert isinstance(verdict, Pending)
    found: list[Verdict] = []
    verdict.begin(None, found.append)
    verdict.stop()
    work, done = works[0]
    done(work())
    assert not found
